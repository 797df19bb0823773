"""TFMA's configuration, from the checks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modules.evaluation.checks import (
    ACCURACY,
    BEYOND_MAJORITY,
    CALIBRATION,
    CALIBRATION_ERROR,
    EXAMPLE_COUNT,
    PROVEN,
    WORSE_P,
    Check,
)
from signs import features

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto import config_pb2

_OURS = {
    PROVEN: "ProvenAccuracy",
    BEYOND_MAJORITY: "ProvenAccuracy",
    CALIBRATION_ERROR: "CalibrationError",
    WORSE_P: "PIfWorse",
}


def eval_config(
    checks: Sequence[Check],
    class_names: Sequence[str],
    slices: Sequence[str] = (features.CLASS_NAME,),
    *,
    with_plots: bool = True,
) -> "config_pb2.EvalConfig":
    """TFMA's configuration for models exported by `modules.signatures`.

    Args:
        checks: what to bless; each is a threshold of a metric within slices.
        class_names: one per class, in the order of the labels.
        slices: features by which images are sliced, beside all of them together.
        with_plots: whether to add the confusion matrix and each class's calibration.

    Returns:
        Accuracy, example count and what the checks ask for, over all examples and by slice.
    """
    from tensorflow_model_analysis.proto import config_pb2

    def metric(class_name: str, name: str, module: str = "") -> config_pb2.MetricConfig:
        return config_pb2.MetricConfig(
            class_name=class_name,
            module=module,
            config=f'{{"name": "{name}"}}',
            per_slice_thresholds=[_threshold(one) for one in checks if one.metric == name],
        )

    asked = {check.metric for check in checks}
    specs = [
        config_pb2.MetricsSpec(
            metrics=[
                metric("SparseCategoricalAccuracy", ACCURACY),
                metric("ExampleCount", EXAMPLE_COUNT),
                *(
                    metric(ours, name, "modules.evaluation.metrics")
                    for name, ours in _OURS.items()
                    if name in asked
                ),
            ]
        )
    ]
    if with_plots:
        specs[0].metrics.append(config_pb2.MetricConfig(class_name="MultiClassConfusionMatrixPlot"))
        # TFMA's calibration is a notion of two classes: each one against the others.
        specs.append(
            config_pb2.MetricsSpec(
                binarize=config_pb2.BinarizationOptions(
                    class_ids={"values": list(range(len(class_names)))}
                ),
                metrics=[
                    metric("Calibration", CALIBRATION),
                    config_pb2.MetricConfig(class_name="CalibrationPlot"),
                ],
            )
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
            *(config_pb2.SlicingSpec(feature_keys=[feature]) for feature in slices),
        ],
        metrics_specs=specs,
    )


def _threshold(check: Check) -> "config_pb2.PerSliceMetricThreshold":
    """The check as TFMA holds it; it names its slices, else TFMA holds it against every one."""
    from google.protobuf.wrappers_pb2 import DoubleValue
    from tensorflow_model_analysis.proto import config_pb2

    where = config_pb2.SlicingSpec()
    if check.feature and check.value:
        where.feature_values[check.feature] = check.value
    elif check.feature:
        where.feature_keys.append(check.feature)
    threshold = config_pb2.MetricThreshold()
    limit = DoubleValue(value=check.limit)
    if check.is_change:
        threshold.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
        threshold.change_threshold.absolute.CopyFrom(limit)
    elif check.at_most:
        threshold.value_threshold.upper_bound.CopyFrom(limit)
    else:
        threshold.value_threshold.lower_bound.CopyFrom(limit)
    return config_pb2.PerSliceMetricThreshold(slicing_specs=[where], threshold=threshold)
