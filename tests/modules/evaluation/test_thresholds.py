import math
import subprocess
import sys

import pytest

from modules.evaluation import Thresholds
from signs.errors import UserError


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"min_accuracy": 1.1}, "evaluate.min_accuracy must be in [0, 1]. Received: 1.1"),
        ({"min_accuracy": math.nan}, "evaluate.min_accuracy must be in [0, 1]. Received: nan"),
        (
            {"min_class_accuracy": 90},
            "evaluate.min_class_accuracy must be in [0, 1]. Received: 90",
        ),
        (
            {"max_calibration_error": -0.1},
            "evaluate.max_calibration_error must be in [0, 1]. Received: -0.1",
        ),
        (
            {"must_beat": "all"},
            "evaluate.must_beat must be one of both, majority, nothing. Received: all",
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


def test_a_further_set_has_a_default_and_may_ask_for_nothing():
    thresholds = Thresholds(min_accuracy_on={"shop": 0.9, "fair": None})
    assert [thresholds.accuracy_on(name) for name in ("shop", "fair", "other")] == [0.9, None, 0.5]


@pytest.mark.parametrize(
    "module",
    ["modules.evaluation.verdict", "modules.training.recipe", "signs.features"],
)
def test_a_command_line_can_import_it_without_tensorflow(module):
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
