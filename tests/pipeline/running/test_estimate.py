"""What a run is expected to take: by its plan, and by earlier runs."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.config import Data, FurtherSet, PipelineConfig
from pipeline.environment import Workspace
from pipeline.running import estimate
from pipeline.running.child import Job
from pipeline.running.estimate import forecast, in_words
from pipeline.running.summary import RunSummary
from pipeline.showing.events import EVENTS, ComponentState, EventWriter, Phase

DATA = Data("photos", 1, ("cat", "dog"), {"train": 960, "eval": 120, "test": 120})
CONFIG = PipelineConfig(DATA)
SHORT = replace(CONFIG, train=replace(CONFIG.train, epochs=12))


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_cores", lambda: 2)


def kept(runs: Path, config: PipelineConfig, run_id: str, *events: ComponentState | Phase) -> None:
    """An earlier run of which the Trainer fitted for 60 s."""
    folder = runs / run_id
    folder.mkdir(parents=True)
    Job(run_id, config, Workspace(Path("w")).environment("photos")).save(folder)
    with EventWriter(folder / EVENTS) as writer:
        for event in events:
            writer.write(event)
    RunSummary(
        run_id=run_id,
        pipeline="photos",
        status="finished",
        started=datetime(2026, 11, 22, tzinfo=UTC),
        fit_s=60.0,
    ).save(folder)


def test_by_the_plan(tmp_path: Path) -> None:
    photographs = forecast(CONFIG, tmp_path / "none").total
    assert 400 < photographs < 800
    # Drawn hands are trained on beside what shows SIGNS's signs.
    hands = replace(CONFIG, data=replace(CONFIG.data, class_names=tuple("012345")))
    assert 1.5 * photographs < forecast(hands, tmp_path / "none").total < 2 * photographs
    short, none = forecast(SHORT, tmp_path), tmp_path
    assert short.total < forecast(CONFIG, none).total / 2
    tiny = replace(SHORT, train=replace(SHORT.train, width=8, blocks=(1, 1, 1, 1)))
    assert forecast(tiny, none).total < short.total / 2
    searched = replace(SHORT, tune=replace(SHORT.tune, trials=8))
    assert forecast(searched, none).total > 5 * short.seconds["Trainer"]


def test_more_cores_train_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = forecast(CONFIG, tmp_path)
    monkeypatch.setattr(estimate, "_cores", lambda: 16)
    assert forecast(CONFIG, tmp_path).total < two.total / 3


def test_by_earlier_runs(tmp_path: Path) -> None:
    trained = ComponentState("Trainer", "done", 75.0)
    kept(
        tmp_path, SHORT, "20261122-000000-aaaa", ComponentState("Transform", "done", 44.0), trained
    )
    # What it reused took no time: that of the run before counts.
    reused = ComponentState("Transform", "reused", 0.1), ComponentState("Trainer", "reused", 0.1)
    kept(
        tmp_path, SHORT, "20261123-000000-aaaa", *reused, ComponentState("Evaluator", "done", 33.0)
    )
    (tmp_path / "20261124-000000-aaaa").mkdir()  # killed before it began
    same = forecast(SHORT, tmp_path)
    assert (same.seconds["Transform"], same.seconds["Evaluator"]) == (44.0, 33.0)
    assert (same.seconds["Trainer"], same.after_training) == (75.0, 15.0)
    # Four times the epochs, and no more graphs to trace.
    assert 2 * 60 < forecast(CONFIG, tmp_path).seconds["Trainer"] - 15 < 4 * 60


def test_in_words(tmp_path: Path) -> None:
    words = in_words(CONFIG, forecast(CONFIG, tmp_path), tmp_path)
    assert words.startswith(
        "Now: check the images, train ResNet50 (60 epochs of 1,080 images), judge it on 120 test "
        "images, try it as a server, push it, ask it: about "
    )
    assert words.endswith(" min on 2 cores.")


def test_further_sets_take_their_time(tmp_path: Path) -> None:
    further = (FurtherSet("a", 1, 1, 600), FurtherSet("b", 1, 1, 40))
    more = replace(CONFIG, also_test=further)
    kept(tmp_path, more, "20261122-000000-aaaa", ComponentState("AlsoTest", "done", 9.0))
    assert forecast(more, tmp_path).seconds["AlsoTest"] == 9.0
    assert "AlsoTest" not in forecast(CONFIG, tmp_path).seconds
    none = tmp_path / "none"
    assert forecast(more, none).seconds["Evaluator"] > forecast(CONFIG, none).seconds["Evaluator"]
    assert "judge it on 120 test images and 640 others, " in in_words(
        more, forecast(more, tmp_path), tmp_path
    )


def test_a_run_that_may_find_all_its_results_again(tmp_path: Path) -> None:
    kept(tmp_path, CONFIG, "20261122-000000-aaaa")
    words = in_words(CONFIG, forecast(CONFIG, tmp_path), tmp_path)
    assert words.endswith("on 2 cores, or about 15 s if no code has changed since the last run.")
    assert "or about" not in in_words(SHORT, forecast(SHORT, tmp_path), tmp_path)
