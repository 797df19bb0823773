"""How a candidate is judged: TFMA's configuration, from three thresholds.

The Evaluator blesses a candidate when every threshold holds on the `test` split: the accuracy over
all images, the accuracy within each class, and the change of accuracy against the baseline (the
latest blessed model; without one, only the absolute thresholds count).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signs import features
from signs.errors import UserError

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto import config_pb2

ACCURACY = "accuracy"
EXAMPLE_COUNT = "example_count"
CALIBRATION = "calibration"


@dataclass(frozen=True)
class Thresholds:
    """What a model must reach to be blessed."""

    min_accuracy: float = 0.8  # over all test images, in [0, 1]
    min_class_accuracy: float = 0.5  # within each class, in [0, 1]
    # Candidate less baseline, in [-1, 1]: at 0 an equal model replaces the old one.
    min_accuracy_change: float = 0.0

    def __post_init__(self) -> None:
        for name, low in (
            ("min_accuracy", 0),
            ("min_class_accuracy", 0),
            ("min_accuracy_change", -1),
        ):
            value = getattr(self, name)
            if not low <= value <= 1:
                raise UserError(f"evaluate.{name} must be in [{low}, 1]. Received: {value}")


def eval_config(thresholds: Thresholds, class_names: Sequence[str]) -> "config_pb2.EvalConfig":
    """TFMA's configuration for models exported by `modules.signatures`.

    Args:
        thresholds: what to bless.
        class_names: one per class, in the order of the labels.

    Returns:
        Accuracy, example count, confusion matrix and calibration, over all examples and by class.
    """
    from google.protobuf.wrappers_pb2 import DoubleValue
    from tensorflow_model_analysis.proto import config_pb2

    def at_least(value: float) -> config_pb2.GenericValueThreshold:
        return config_pb2.GenericValueThreshold(lower_bound=DoubleValue(value=value))

    all_images = config_pb2.SlicingSpec()
    each_class = config_pb2.SlicingSpec(feature_keys=[features.CLASS_NAME])
    accuracy = config_pb2.MetricConfig(
        class_name="SparseCategoricalAccuracy",
        config=f'{{"name": "{ACCURACY}"}}',
        # Each threshold names its slices: TFMA holds a bare `threshold` against every slice.
        per_slice_thresholds=[
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[all_images],
                threshold=config_pb2.MetricThreshold(
                    value_threshold=at_least(thresholds.min_accuracy),
                    change_threshold=config_pb2.GenericChangeThreshold(
                        direction=config_pb2.MetricDirection.HIGHER_IS_BETTER,
                        absolute=DoubleValue(value=thresholds.min_accuracy_change),
                    ),
                ),
            ),
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[each_class],
                threshold=config_pb2.MetricThreshold(
                    value_threshold=at_least(thresholds.min_class_accuracy)
                ),
            ),
        ],
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
        slicing_specs=[all_images, each_class],
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
