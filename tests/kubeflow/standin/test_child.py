"""The process that `signs run --on kubeflow-local` starts: what it tells, and how it ends."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kubeflow.standin import child
from kubeflow.standin.records import Execution
from modules.training.progress import TrainingProgress
from pipeline.showing.run_state import numbers

SIGNS = Path(sys.executable).with_name("signs")


def test_changed_code_is_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(child.ROOT / "modules", tmp_path / "modules")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()
    monkeypatch.setattr(child, "ROOT", tmp_path)
    before = child.checkout_digest()
    assert child.checkout_digest() == before
    assert len(before) == 64
    (tmp_path / "tests" / "test_more.py").touch()  # a test is no part of an image
    assert child.checkout_digest() == before
    with (tmp_path / "modules" / "network" / "blocks.py").open("a") as file:
        file.write("# changed\n")
    assert child.checkout_digest() != before


@pytest.mark.parametrize(
    ("execution", "note"),
    [
        (Execution("A", "RUNNING", attempts=1), None),
        (
            Execution("A", "RUNNING", attempts=2, errors=["signal: SIGKILL"]),
            "attempt 2, after: signal: SIGKILL",
        ),
        (Execution("A", "FAILED", attempts=2, errors=["one", "two"]), "two"),
        (Execution("A", "COMPLETE", attempts=1), None),
    ],
)
def test_what_is_said_of_a_step(execution: Execution, note: str | None) -> None:
    assert child._note(execution) == note


def test_a_training_is_followed_by_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("importing\n")
    assert child.last_training(log) is None
    told = TrainingProgress(2, 6, 1, 10, 1.25, 0.5, images_per_s=12.5, eta_s=40.0)
    lines = ["x" * 5000, replace(told, epoch=1).line(), told.line(), told.line()[:-9]]
    log.write_text("\n".join(lines))
    training = child.last_training(log)
    assert training is not None
    assert numbers(training) == ["epoch 2 of 6", "loss 1.250", "accuracy 50.0 %"]
    assert (training.images_per_s, training.eta_s) == (12.5, 40.0)


def test_the_command_line_knows_where_to_run() -> None:
    done = subprocess.run(
        [SIGNS, "run", "--on", "moon"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "'moon' is not one of 'local', 'kubeflow-local'" in done.stderr
