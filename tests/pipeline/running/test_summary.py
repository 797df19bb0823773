"""What a run came to is kept whole, and comes back as it was."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.running.summary import Query, RunResult, RunSummary, Tuned, Unmet
from tests.pipeline.summaries import ALSO_TESTED, FULL, STARTED, TUNED, UNBLESSED


@pytest.mark.parametrize("summary", [FULL, TUNED, ALSO_TESTED, UNBLESSED])
def test_a_summary_comes_back_as_it_was_saved(run_directory: Path, summary: RunSummary) -> None:
    summary.save(run_directory)
    assert RunSummary.load(run_directory) == summary
    assert [path.name for path in run_directory.iterdir()] == ["summary.json"]


def test_the_file_is_plain_json(run_directory: Path) -> None:
    FULL.save(run_directory)
    values = json.loads((run_directory / "summary.json").read_text())
    assert values["started"] == "2026-11-22T22:14:00Z"
    assert values["components"]["Trainer"] == {"state": "done", "seconds": 90.5}
    assert values["query"]["address"] == "127.0.0.1:8500"
    assert json.loads(FULL.to_json()) == values


def test_numbers_of_numpy_and_numbers_that_are_not_finite(run_directory: Path) -> None:
    RunSummary(
        run_id="a",
        pipeline="signs",
        status="finished",
        started=STARTED,
        accuracy=np.float32(0.5),  # type: ignore[arg-type]
        metrics={"loss": float("nan"), "n": np.int64(3)},  # type: ignore[dict-item]
        error="\udcff.jpg",
    ).save(run_directory)
    run = RunSummary.load(run_directory)
    assert (run.accuracy, run.metrics) == (0.5, {"loss": None, "n": 3.0})
    assert run.error == r"\udcff.jpg"


def test_a_summary_is_replaced_whole(run_directory: Path) -> None:
    UNBLESSED.save(run_directory)
    FULL.save(run_directory)
    assert RunSummary.load(run_directory) == FULL


@pytest.mark.parametrize(
    "result",
    [
        RunResult(),
        RunResult(
            accuracy=0.5,
            metrics={"accuracy": 0.5, "loss": None},
            blessed=False,
            not_blessed_reasons=(Unmet("accuracy", 0.8, 0.5, slice="class_name grün"),),
            tuned=Tuned({"learning_rate": 0.01}, 0.9, 2),
            peak_rss_mib=2900.5,
            query=Query(120, 0.5, "127.0.0.1:8500", 3),
        ),
    ],
)
def test_the_result_of_the_child_reaches_the_summary(
    run_directory: Path, result: RunResult
) -> None:
    result.save(run_directory)
    found = RunResult.load(run_directory)
    assert found == result
    summary = RunSummary(
        **vars(found), run_id="a", pipeline="signs", status="finished", started=STARTED
    )
    assert (summary.query, summary.tuned) == (result.query, result.tuned)


def test_json_begins_with_which_run_it_is() -> None:
    keys = list(json.loads(FULL.to_json()))
    assert keys[:5] == ["run_id", "pipeline", "status", "started", "duration_s"]
