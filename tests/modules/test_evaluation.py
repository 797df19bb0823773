import math
import subprocess
import sys

import pytest

from modules.evaluation import Thresholds, eval_config
from signs.errors import UserError

CLASSES = ["zero", "one", "two"]


@pytest.fixture
def config():
    return eval_config(Thresholds(0.9, 0.7, 0.01), CLASSES)


def metric(config, class_name: str):
    """The one metric of this class."""
    (found,) = [
        metric
        for spec in config.metrics_specs
        for metric in spec.metrics
        if metric.class_name == class_name
    ]
    return found


def test_accuracy_has_its_thresholds(config):
    accuracy = metric(config, "SparseCategoricalAccuracy")
    assert accuracy.config == '{"name": "accuracy"}'
    # Held against every slice, a bare threshold would be too strict for a class.
    assert not accuracy.HasField("threshold")
    overall = accuracy.per_slice_thresholds[0]
    assert [list(spec.feature_keys) for spec in overall.slicing_specs] == [[]]
    assert overall.threshold.value_threshold.lower_bound.value == 0.9
    assert overall.threshold.change_threshold.absolute.value == 0.01
    # HIGHER_IS_BETTER by its number: the other direction would bless what got worse.
    assert overall.threshold.change_threshold.direction == 2


def test_each_class_has_one_threshold(config):
    _, sliced = metric(config, "SparseCategoricalAccuracy").per_slice_thresholds
    (spec,) = sliced.slicing_specs
    assert (list(spec.feature_keys), dict(spec.feature_values)) == (["class_name"], {})
    assert sliced.threshold.value_threshold.lower_bound.value == 0.7
    assert not sliced.threshold.HasField("change_threshold")


def test_accuracy_alone_decides(config):
    for spec in config.metrics_specs:
        assert not spec.thresholds and not spec.per_slice_thresholds
        for one in spec.metrics:
            if one.class_name != "SparseCategoricalAccuracy":
                assert not one.HasField("threshold") and not one.per_slice_thresholds


def test_bounds_of_zero_are_bounds():
    accuracy = metric(eval_config(Thresholds(0, 0, 0), CLASSES), "SparseCategoricalAccuracy")
    assert accuracy.per_slice_thresholds[0].threshold.value_threshold.HasField("lower_bound")
    assert accuracy.per_slice_thresholds[0].threshold.change_threshold.HasField("absolute")


def test_a_further_set_has_the_same_metrics_and_one_threshold(config):
    thresholds = Thresholds(0.9, 0.7, 0.01, {"shop": 0.6, "fair": None})
    shop, fair = (eval_config(thresholds, CLASSES, name) for name in ("shop", "fair"))
    (bound,) = metric(shop, "SparseCategoricalAccuracy").per_slice_thresholds
    assert [list(spec.feature_keys) for spec in bound.slicing_specs] == [[]]
    assert bound.threshold.value_threshold.lower_bound.value == 0.6
    assert not bound.threshold.HasField("change_threshold")
    assert not metric(fair, "SparseCategoricalAccuracy").per_slice_thresholds
    assert list(config.slicing_specs[-1].feature_keys) == ["twin"]
    del config.slicing_specs[-1]  # who has twins is known of the data's own test split
    for one in (config, shop):
        metric(one, "SparseCategoricalAccuracy").ClearField("per_slice_thresholds")
    assert shop == config


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


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"min_accuracy": 1.1}, "evaluate.min_accuracy must be in [0, 1]. Received: 1.1"),
        ({"min_accuracy": -0.1}, "evaluate.min_accuracy must be in [0, 1]. Received: -0.1"),
        ({"min_accuracy": math.nan}, "evaluate.min_accuracy must be in [0, 1]. Received: nan"),
        (
            {"min_class_accuracy": 90},
            "evaluate.min_class_accuracy must be in [0, 1]. Received: 90",
        ),
        (
            {"min_accuracy_on": {"shop": 1.5}},
            "evaluate.min_accuracy_on.shop must be in [0, 1]. Received: 1.5",
        ),
        (
            {"min_accuracy_change": -2},
            "evaluate.min_accuracy_change must be in [-1, 1]. Received: -2",
        ),
    ],
)
def test_bad_thresholds_are_named(values, text):
    with pytest.raises(UserError) as caught:
        Thresholds(**values)
    assert str(caught.value) == text


def test_a_change_may_be_allowed_to_be_a_loss():
    assert Thresholds(min_accuracy_change=-1).min_accuracy_change == -1


@pytest.mark.parametrize(
    "module", ["modules.evaluation", "modules.training.recipe", "signs.features"]
)
def test_a_command_line_can_import_it_without_tensorflow(module):
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
