"""How a candidate is judged: TFMA's configuration, from a few thresholds.

The Evaluator blesses a candidate when every threshold holds on the `test` split: the accuracy over
all images, the accuracy within each class, and the change of accuracy against the baseline (the
latest blessed model; without one, only the absolute thresholds count). On a further test set one
accuracy may be asked for, over all its images; without it the set is measured and decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from signs import features
from signs.errors import UserError

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto import config_pb2

ACCURACY = "accuracy"
EXAMPLE_COUNT = "example_count"
CALIBRATION = "calibration"
# A feature that the Evaluator adds: what copy of a test image is trained on.
TWIN = "twin"
NO_TWIN = "none"


@dataclass(frozen=True)
class Thresholds:
    """What a model must reach to be blessed."""

    min_accuracy: float = 0.8  # over all test images, in [0, 1]
    min_class_accuracy: float = 0.5  # within each class, in [0, 1]
    # Candidate less baseline, in [-1, 1]: at 0 an equal model replaces the old one.
    min_accuracy_change: float = 0.0
    # Over all images of a further test set, in [0, 1], by its name; None asks for nothing.
    min_accuracy_on: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, low in (
            ("min_accuracy", 0),
            ("min_class_accuracy", 0),
            ("min_accuracy_change", -1),
        ):
            value = getattr(self, name)
            if not low <= value <= 1:
                raise UserError(f"evaluate.{name} must be in [{low}, 1]. Received: {value}")
        for name, least in self.min_accuracy_on.items():
            if least is not None and not 0 <= least <= 1:
                raise UserError(
                    f"evaluate.min_accuracy_on.{name} must be in [0, 1]. Received: {least}"
                )


def eval_config(
    thresholds: Thresholds, class_names: Sequence[str], test_set: str | None = None
) -> "config_pb2.EvalConfig":
    """TFMA's configuration for models exported by `modules.signatures`.

    Args:
        thresholds: what to bless.
        class_names: one per class, in the order of the labels.
        test_set: name of a further test set; None: the `test` split.

    Returns:
        Accuracy, example count, confusion matrix and calibration, over all examples and by class.
    """
    from tensorflow_model_analysis.proto import config_pb2

    accuracy = config_pb2.MetricConfig(
        class_name="SparseCategoricalAccuracy",
        config=f'{{"name": "{ACCURACY}"}}',
        per_slice_thresholds=_bounds(thresholds, test_set),
    )
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name=features.SERVING_DEFAULT,
                preprocessing_function_names=[features.TRANSFORM_FEATURES],
                prediction_key=features.PROBABILITIES,
                label_key=features.LABEL,
            )
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(),  # all images
            config_pb2.SlicingSpec(feature_keys=[features.CLASS_NAME]),
            *([] if test_set else [config_pb2.SlicingSpec(feature_keys=[TWIN])]),
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[
                    accuracy,
                    config_pb2.MetricConfig(
                        class_name="ExampleCount", config=f'{{"name": "{EXAMPLE_COUNT}"}}'
                    ),
                    config_pb2.MetricConfig(class_name="MultiClassConfusionMatrixPlot"),
                ]
            ),
            # Calibration is a notion of two classes: each one against the others.
            config_pb2.MetricsSpec(
                binarize=config_pb2.BinarizationOptions(
                    class_ids={"values": list(range(len(class_names)))}
                ),
                metrics=[
                    config_pb2.MetricConfig(
                        class_name="Calibration", config=f'{{"name": "{CALIBRATION}"}}'
                    ),
                    config_pb2.MetricConfig(class_name="CalibrationPlot"),
                ],
            ),
        ],
    )


def _bounds(
    thresholds: Thresholds, test_set: str | None
) -> "list[config_pb2.PerSliceMetricThreshold]":
    """What accuracy must hold; each names its slices: TFMA holds others against every slice."""
    from google.protobuf.wrappers_pb2 import DoubleValue
    from tensorflow_model_analysis.proto import config_pb2

    def at_least(value: float, *feature_keys: str) -> config_pb2.PerSliceMetricThreshold:
        lowest = config_pb2.GenericValueThreshold(lower_bound=DoubleValue(value=value))
        return config_pb2.PerSliceMetricThreshold(
            slicing_specs=[config_pb2.SlicingSpec(feature_keys=feature_keys)],
            threshold=config_pb2.MetricThreshold(value_threshold=lowest),
        )

    if test_set is not None:
        least = thresholds.min_accuracy_on.get(test_set)
        return [] if least is None else [at_least(least)]
    overall = at_least(thresholds.min_accuracy)
    overall.threshold.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
    overall.threshold.change_threshold.absolute.value = thresholds.min_accuracy_change
    return [overall, at_least(thresholds.min_class_accuracy, features.CLASS_NAME)]
