"""The process of a run: its job, what it tells while it works, and how it ends."""

import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model_server import ServerProcess
from modules.training import progress
from modules.training.progress import TrainingProgress
from pipeline.config import Data, default_config, override
from pipeline.environment import Workspace
from pipeline.running import child
from pipeline.running.child import Job
from pipeline.running.memory import PeakMemory
from pipeline.running.summary import RESULT
from pipeline.showing.events import EVENTS, EventReader, EventWriter, Phase, RunFinished, Training

CONFIG = default_config(Data("colours", 1, ("grün", "red"), {"train": 8, "test": 2}))


def job(workspace: Path) -> Job:
    config = override(CONFIG, ["train.epochs=3", "devices.gpus=0"])
    return Job("run-1", config, Workspace(workspace).environment("colours", ("--x=1",)))


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    job(tmp_path).save(tmp_path)
    assert Job.load(tmp_path) == job(tmp_path)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("one\n  two"), "one two"),
        (ValueError(), "ValueError"),
        (ValueError("x" * 700), "x" * 600),
    ],
)
def test_a_run_that_fails_says_why_on_one_line(
    tmp_path: Path, error: Exception, message: str
) -> None:
    def execute(*_: object):
        raise RuntimeError("Trainer failed") from error

    job(tmp_path).save(tmp_path)
    assert child.work([str(tmp_path)], execute) == 1
    *_, last = EventReader(tmp_path / EVENTS).read()
    assert isinstance(last, RunFinished)
    assert (last.ok, last.message) == (False, message)
    assert not (tmp_path / RESULT).exists()


def test_what_a_training_logs_becomes_events(tmp_path: Path) -> None:
    told = TrainingProgress(1, 2, 3, 4, 0.5, 0.75, images_per_s=12.5, eta_s=40.0, trial=1, trials=2)
    logger, level = logging.getLogger("modules"), logging.getLogger("modules").level
    with EventWriter(tmp_path / EVENTS) as events:
        logger.setLevel(logging.INFO)
        with child._told_of_trainings(events):
            progress.LOGGER.info("a line for people")
            progress.log(told)
        progress.log(told)  # of nobody's run
        logger.setLevel(level)
    [event] = EventReader(tmp_path / EVENTS).read()
    assert event == replace(Training.of(told), time=event.time)


def test_a_phase_is_told_when_it_begins_and_when_it_is_over(tmp_path: Path) -> None:
    with EventWriter(tmp_path / EVENTS) as events, child.phase(events, "serving"):
        [begun] = EventReader(tmp_path / EVENTS).read()
    [_, over] = EventReader(tmp_path / EVENTS).read()
    assert isinstance(begun, Phase) and isinstance(over, Phase)
    assert (begun.name, begun.seconds) == ("serving", None)
    assert over.seconds is not None and over.seconds >= 0


def test_the_model_server_starts_beside_the_evaluator_and_is_lent_to_the_components(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.serving_check.server import borrowed
    from pipeline.running import local_runner

    launched: list[str] = []
    nodes: list[str] = []
    server = ServerProcess()
    monkeypatch.setattr(server, "launch", lambda: launched.append(nodes[-1]))

    def run_pipeline(*_: object, on_start: Callable[[str], None], **__: object) -> dict[str, None]:
        for node in ("Trainer", "Baseline", "Evaluator", "ServingCheck", "Pusher"):
            nodes.append(node)
            on_start(node)
        with borrowed() as found:
            assert found is server
        return {}

    monkeypatch.setattr(local_runner, "run_pipeline", run_pipeline)
    with EventWriter(tmp_path / EVENTS) as events:
        child._run_components(PeakMemory(), tmp_path, job(tmp_path), events, server)
    assert launched == ["Evaluator"]


def test_the_process_ends_as_it_is_with_all_that_it_has_printed() -> None:
    code = """
import atexit
from pipeline.running.child import leave
atexit.register(print, "taken apart")
print("printed")
leave(3)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, "printed\n")
