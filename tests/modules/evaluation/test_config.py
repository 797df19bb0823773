import pytest

from modules.evaluation import CORRUPTION, TWIN, Thresholds, eval_config
from modules.evaluation.checks import checks_of_corrupted, checks_of_test
from modules.evaluation.verdict import SimpleAnswers

CLASSES = ["zero", "one", "two"]
SIMPLE = SimpleAnswers(0.25, 0.9, 100, 1000)


@pytest.fixture
def config():
    thresholds = Thresholds(0.9, 0.7, max_calibration_error=0.2, min_accuracy_change=0.01)
    checks = checks_of_test(thresholds, SIMPLE, has_twins=True, has_baseline=True)
    return eval_config(checks, CLASSES, ["class_name", TWIN])


def thresholds_of(config, name: str):
    """What is held against a metric: slices as text, and the threshold."""
    [found] = [
        metric.per_slice_thresholds
        for spec in config.metrics_specs
        for metric in spec.metrics
        if metric.config == f'{{"name": "{name}"}}'
    ]
    # Held against every slice, a bare threshold would be too strict for a class.
    assert all(len(one.slicing_specs) == 1 for one in found)
    return [
        (
            [*one.slicing_specs[0].feature_keys, *one.slicing_specs[0].feature_values.items()],
            one.threshold,
        )
        for one in found
    ]


def test_an_accuracy_must_be_proven_over_all_without_copies_and_in_each_class(config):
    found = thresholds_of(config, "proven_accuracy")
    assert [where for where, _ in found] == [[], [("twin", "none")], ["class_name"]]
    assert [one.value_threshold.lower_bound.value for _, one in found] == [0.9, 0.9, 0.7]


def test_the_accuracy_itself_is_held_against_the_nearest_image_and_the_baseline(config):
    [(_, nearest), (where, change)] = thresholds_of(config, "accuracy")
    assert nearest.value_threshold.lower_bound.value == 0.905
    assert change.change_threshold.absolute.value == 0.01
    # HIGHER_IS_BETTER by its number: the other direction would bless what got worse.
    assert (where, change.change_threshold.direction) == ([], 2)


def test_an_error_has_an_upper_bound(config):
    [(where, threshold)] = thresholds_of(config, "calibration_error")
    assert (where, threshold.value_threshold.upper_bound.value) == ([], 0.2)
    assert not threshold.value_threshold.HasField("lower_bound")


def test_a_p_value_and_the_majority_have_lower_bounds(config):
    for name, limit in (("p_if_worse", 0.05), ("accuracy_beyond_majority", 0.25)):
        [(where, threshold)] = thresholds_of(config, name)
        assert (where, threshold.value_threshold.lower_bound.value) == ([], limit)


def test_copies_are_judged_by_corruption_and_have_no_plots():
    config = eval_config(checks_of_corrupted(Thresholds()), CLASSES, [CORRUPTION], with_plots=False)
    [(where, threshold)] = thresholds_of(config, "proven_accuracy")
    assert (where, threshold.value_threshold.lower_bound.value) == (["corruption"], 0.5)
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["corruption"]]
    [spec] = config.metrics_specs
    assert [one.class_name for one in spec.metrics] == [
        *("SparseCategoricalAccuracy", "ExampleCount", "ProvenAccuracy")
    ]


def test_without_checks_it_only_measures():
    config = eval_config((), CLASSES)
    metrics = [one for spec in config.metrics_specs for one in spec.metrics]
    assert not any(one.per_slice_thresholds for one in metrics)
    assert [one.class_name for one in metrics] == [
        *("SparseCategoricalAccuracy", "ExampleCount", "MultiClassConfusionMatrixPlot"),
        *("Calibration", "CalibrationPlot"),
    ]


def test_the_model_is_asked_by_its_names(config):
    (spec,) = config.model_specs
    assert spec.signature_name == "serving_default"
    assert list(spec.preprocessing_function_names) == ["transform_features"]
    assert (spec.prediction_key, spec.label_key) == ("probabilities", "label")


def test_all_images_and_each_class_are_slices(config):
    specs = [list(spec.feature_keys) for spec in config.slicing_specs]
    assert specs == [[], ["class_name"], ["twin"]]


def test_calibration_is_of_each_class(config):
    binarized = [spec for spec in config.metrics_specs if spec.HasField("binarize")]
    (spec,) = binarized
    assert list(spec.binarize.class_ids.values) == [0, 1, 2]
    assert [one.class_name for one in spec.metrics] == ["Calibration", "CalibrationPlot"]


def test_tfma_accepts_the_configuration(config):
    from tensorflow_model_analysis.utils import config_util

    config_util.verify_eval_config(config)
