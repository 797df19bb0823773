"""One line of JSON is all that is told of a training, and nothing else is taken for it."""

import logging
import subprocess
import sys

import pytest

from modules.training.progress import TrainingProgress, log
from tests import ROOT

FULL = TrainingProgress(1, 48, 9, 34, 2.1, 0.25, 0.5, 12.5, 40.0, 2, 8)
LINE = (
    '{"progress":{"epoch":1,"epochs":48,"step":9,"steps":34,"loss":2.1,"accuracy":0.25,'
    '"eval_accuracy":0.5,"images_per_s":12.5,"eta_s":40.0,"trial":2,"trials":8}}'
)


def test_the_line_and_back(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "modules"):
        log(FULL)
    [record] = caplog.records
    assert (record.name, record.getMessage()) == ("modules.training.progress", LINE)
    assert TrainingProgress.parse(LINE) == FULL


def test_a_number_that_is_not_finite_is_none() -> None:
    told = TrainingProgress.parse(TrainingProgress(1, 2, 3, 4, float("nan"), 0.5).line())
    assert told == TrainingProgress(1, 2, 3, 4, None, 0.5)


@pytest.mark.parametrize(
    "line",
    ["", "epoch 1/48", LINE[:-9], f"INFO {LINE}", '{"progress":{"epoch":1}}', '{"progress":null}'],
)
def test_another_line_is_none(line: str) -> None:
    assert TrainingProgress.parse(line) is None


def test_reading_it_does_not_import_tensorflow() -> None:
    code = "import sys, modules.training.progress, modules.training.job; "
    code += "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
