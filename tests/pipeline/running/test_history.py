"""Runs are remembered, whatever became of them: finished, killed, damaged, still at work."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from pipeline.running.events import ComponentState, EventWriter, RunStarted
from pipeline.running.history import (
    ComponentSummary,
    Query,
    RunSummary,
    Tuned,
    Unmet,
    load_run,
    load_runs,
    mark_running,
    new_run_id,
    render_runs,
    render_summary,
)

STARTED = datetime(2026, 11, 22, 22, 14, tzinfo=UTC)
FULL = RunSummary(
    run_id="20261122-221400-ab12",
    pipeline="signs-synthetic",
    status="finished",
    started=STARTED,
    duration_s=372.2,
    dataset="signs-synthetic",
    span=1,
    version=2,
    counts={"train": 960, "eval": 120, "test": 120},
    components={"Trainer": ComponentSummary("done", 90.5), "Pusher": ComponentSummary("done", 0.1)},
    accuracy=0.93333,
    metrics={"accuracy": 0.93333, "calibration": None},
    blessed=True,
    infra_blessed=True,
    pushed_version=3,
    pushed_to="workspace/serving/signs-synthetic",
    training_s=90.5,
    fit_s=70.25,
    peak_rss_mib=2900.5,
    log="workspace/logs/20261122-221400-ab12.log",
    query=Query(120, 0.93333, "127.0.0.1:8500", 3),
    query_commands=("signs serve", "signs predict my.jpg"),
)
TUNED = replace(FULL, tuned=Tuned({"learning_rate": 0.01}, 0.9, 2), base_model="model/4")
UNBLESSED = RunSummary(
    run_id="20261123-080000-cd34",
    pipeline="signs",
    status="finished",
    started=STARTED + timedelta(hours=10),
    duration_s=61.0,
    counts={"test": 1200},
    accuracy=0.6333,
    blessed=False,
    infra_blessed=True,
    not_blessed_reasons=(
        Unmet("accuracy", 0.8, 0.6333),
        Unmet("accuracy", 0.5, 0.25, slice="class_name [3]"),
        Unmet("accuracy", -0.01, -0.03, "change"),
        Unmet("accuracy", 0.5, None, slice="class_name 4"),
    ),
    reused_model=True,
    log="a.log",
)


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "runs" / "signs-synthetic" / "20261122-221400-ab12"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def somebody() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not this one."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def shown(render: Any, *arguments: Any, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    render(console, *arguments)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


# --- summary.json ---------------------------------------------------------------------------------


@pytest.mark.parametrize("summary", [FULL, TUNED, UNBLESSED])
def test_a_summary_comes_back_as_it_was_saved(run_directory: Path, summary: RunSummary) -> None:
    summary.save(run_directory)
    assert load_run(run_directory) == summary
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
    run = load_run(run_directory)
    assert (run.accuracy, run.metrics) == (0.5, {"loss": None, "n": 3.0})
    assert run.error == r"\udcff.jpg"


def test_a_summary_is_replaced_whole(run_directory: Path) -> None:
    UNBLESSED.save(run_directory)
    FULL.save(run_directory)
    assert load_run(run_directory) == FULL


def test_run_ids_are_in_utc_and_differ() -> None:
    ids = {new_run_id(STARTED) for _ in range(20)}
    assert len(ids) > 10
    assert all(len(name) == 20 and name.startswith("20261122-221400-") for name in ids)


# --- Runs that did not end, or whose files are damaged --------------------------------------------


def test_a_run_that_was_killed_is_told_from_its_events(run_directory: Path) -> None:
    began = STARTED.timestamp()
    with EventWriter(run_directory / "events.jsonl") as events:
        events.write(RunStarted(("Transform", "Trainer", "Pusher"), time=began))
        events.write(ComponentState("Transform", "done", 3.0, time=began + 4))
        events.write(ComponentState("Trainer", "running", time=began + 5))
        events.write(ComponentState("other", "running", time=began + 30))
    run = load_run(run_directory)
    assert (run.status, run.started, run.duration_s) == ("interrupted", STARTED, 30.0)
    assert run.components == {
        "Transform": ComponentSummary("done", 3.0),
        "Trainer": ComponentSummary("failed", 25.0),
        "Pusher": ComponentSummary("waiting", None),
        "other": ComponentSummary("failed", 0.0),
    }


def test_a_run_without_anything_is_interrupted(run_directory: Path) -> None:
    run = load_run(run_directory)
    assert (run.status, run.started, run.duration_s) == ("interrupted", STARTED, None)
    assert (run.run_id, run.pipeline) == ("20261122-221400-ab12", "signs-synthetic")


def test_a_run_of_any_name_began_when_its_folder_was_made(tmp_path: Path) -> None:
    directory = tmp_path / "runs" / "signs" / "mine"
    directory.mkdir(parents=True)
    os.utime(directory, (1e9, 1e9))
    assert load_run(directory).started == datetime.fromtimestamp(1e9, UTC)


def test_a_run_whose_process_lives_is_running(run_directory: Path) -> None:
    began = time.time() - 5
    with EventWriter(run_directory / "events.jsonl") as events:
        events.write(ComponentState("Trainer", "running", time=began))
    mark_running(run_directory)
    run = load_run(run_directory)
    assert run.status == "running"
    assert run.duration_s is not None
    assert 5 <= run.duration_s < 60
    assert run.components["Trainer"].state == "running"


def test_a_process_that_has_ended_runs_no_more(
    run_directory: Path, somebody: subprocess.Popen[bytes]
) -> None:
    (run_directory / "pid").write_text(str(somebody.pid))
    assert load_run(run_directory).status == "running"
    somebody.kill()
    time.sleep(0.2)  # a zombie now: nobody has waited for it
    assert load_run(run_directory).status == "interrupted"
    somebody.communicate()
    assert load_run(run_directory).status == "interrupted"


def test_a_newer_process_with_the_same_number_is_another_one(
    run_directory: Path, somebody: subprocess.Popen[bytes]
) -> None:
    (run_directory / "pid").write_text(str(somebody.pid))
    hour_ago = time.time() - 3600
    os.utime(run_directory / "pid", (hour_ago, hour_ago))
    assert load_run(run_directory).status == "interrupted"


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "99999999999999999999", "1e3", "\0"])
def test_a_damaged_pid_file_is_nobody(run_directory: Path, text: str) -> None:
    (run_directory / "pid").write_text(text)
    hour_ago = time.time() - 3600
    os.utime(run_directory / "pid", (hour_ago, hour_ago))
    assert load_run(run_directory).status == "interrupted"


def test_a_summary_that_says_running_is_believed_while_the_process_lives(
    run_directory: Path,
) -> None:
    RunSummary(
        run_id="a", pipeline="signs", status="running", started=STARTED, dataset="signs"
    ).save(run_directory)
    run = load_run(run_directory)
    assert (run.status, run.dataset) == ("interrupted", "signs")
    mark_running(run_directory)
    assert load_run(run_directory).status == "running"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b"{", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        (b"\xff\x00", "Invalid JSON: expected value at line 1 column 1"),
        (b"[]", "Input should be an object"),
        (b"{}", "run_id: Field required"),
        (
            FULL.to_json().replace('"finished"', '"asleep"').encode(),
            "status: Input should be 'running', 'finished', 'failed', 'interrupted' or 'damaged'",
        ),
        (
            FULL.to_json().replace('"accuracy": 0.93333', '"accuracy": "high"', 1).encode(),
            "accuracy: Input should be a valid number, unable to parse string as a number",
        ),
        (
            FULL.to_json().replace("2026-11-22T22:14:00Z", "2026-11-22T22:14:00").encode(),
            "started: Input should have timezone info",
        ),
    ],
)
def test_a_damaged_summary_says_so(run_directory: Path, content: bytes, reason: str) -> None:
    path = run_directory / "summary.json"
    path.write_bytes(content)
    run = load_run(run_directory)
    assert (run.status, run.started) == ("damaged", STARTED)
    assert run.error == f"{path} is damaged. {reason}"


def test_a_summary_that_cannot_be_read_says_so(run_directory: Path) -> None:
    path = run_directory / "summary.json"
    path.mkdir()
    run = load_run(run_directory)
    assert (run.status, run.error) == ("damaged", f"{path} cannot be read: Is a directory")


def test_keys_of_a_newer_version_are_no_damage(run_directory: Path) -> None:
    values = {**json.loads(FULL.to_json()), "colour": "green"}
    (run_directory / "summary.json").write_text(json.dumps(values))
    assert load_run(run_directory) == FULL


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    for number, pipeline in enumerate(["signs", "signs-synthetic", "signs"]):
        started = STARTED + timedelta(minutes=[5, 9, 1][number])
        directory = tmp_path / "runs" / pipeline / new_run_id(started)
        directory.mkdir(parents=True)
        if number:
            RunSummary(
                run_id=directory.name, pipeline=pipeline, status="finished", started=started
            ).save(directory)
    (tmp_path / "runs" / "litter.txt").touch()
    (tmp_path / "runs" / "signs" / "litter.txt").touch()
    (tmp_path / "runs" / "signs" / ".hidden").mkdir()
    runs = load_runs(tmp_path)
    assert [run.started.minute for run in runs] == [23, 19, 15]
    assert [run.status for run in runs] == ["finished", "interrupted", "finished"]


def test_a_workspace_that_is_not_there_has_no_runs(tmp_path: Path) -> None:
    assert load_runs(tmp_path / "missing") == []
    (tmp_path / "file").touch()
    assert load_runs(tmp_path / "file") == []


# --- What the user sees ---------------------------------------------------------------------------


def test_the_summary_of_a_blessed_run() -> None:
    assert shown(render_summary, FULL) == [
        "signs-synthetic  20261122-221400-ab12  blessed in 6 min 12 s",
        "  accuracy  93.3 % on 120 test images",
        "  blessed   yes",
        "  pushed    version 3 to workspace/serving/signs-synthetic",
        "  queried   120 test images over gRPC, accuracy 93.3 %",
        "  query it  signs serve",
        "            signs predict my.jpg",
        "  log       workspace/logs/20261122-221400-ab12.log",
    ]


def test_the_summary_of_a_run_that_is_not_blessed_says_why() -> None:
    assert shown(render_summary, UNBLESSED) == [
        "signs  20261123-080000-cd34  not blessed in 1 min 01 s, with an earlier run's model",
        "  accuracy  63.3 % on 1,200 test images",
        "  blessed   no",
        "            accuracy of all test images is 0.6333: at least 0.8 is needed",
        "            accuracy of class_name [3] is 0.2500: at least 0.5 is needed",
        "            accuracy of all test images changed by -0.0300 from the last blessed model: "
        "at least -0.01 is needed",
        "            accuracy of class_name 4 could not be computed (threshold 0.5)",
        "  pushed    no: what was served before still is",
        "  log       a.log",
    ]


def test_the_summary_of_a_tuned_and_a_warm_started_run() -> None:
    found = {"learning_rate": 0.0012345, "augmentation.scale": 0.25}
    run = RunSummary(
        run_id="a",
        pipeline="signs",
        status="finished",
        started=STARTED,
        components={"WarmStart": ComponentSummary("done", 0.1)},
        tuned=Tuned(found, 0.9167, 8),
        base_model="artifacts/Trainer/model/4",
        log="a.log",
    )
    assert shown(render_summary, run)[2:] == [
        "  tuned     learning_rate 0.00123, augmentation.scale 0.25 "
        "(the best of 8 trials: 91.7 % on the eval images)",
        "  started   from the weights of artifacts/Trainer/model/4",
        "  log       a.log",
    ]
    cold = replace(run, tuned=Tuned(found, 0.9167, 1), base_model=None)
    assert "(the only trial: 91.7 % on the eval images)" in shown(render_summary, cold)[2]
    assert shown(render_summary, cold)[3] == (
        "  started   from random weights: no model was blessed before"
    )


def test_the_summary_of_a_run_whose_model_does_not_serve() -> None:
    run = RunSummary(
        run_id="a",
        pipeline="signs",
        status="finished",
        started=STARTED,
        blessed=True,
        infra_blessed=False,
    )
    assert shown(render_summary, run) == [
        "signs  a  not blessed",
        "  blessed   yes",
        "  served    no: the model server's answers are not the trained model's",
        "  pushed    no: what was served before still is",
    ]


def test_the_summary_of_a_failed_run() -> None:
    run = RunSummary(
        run_id="a",
        pipeline="signs",
        status="failed",
        started=STARTED,
        duration_s=3.04,
        error="Trainer failed: [Errno 28] " + "No space left on device " * 5,
        log="/a/log/of/the/run.log",
    )
    assert shown(render_summary, run) == [
        "signs  a  failed in 3.0 s",
        "  error     Trainer failed: [Errno 28] " + ("No space left on device " * 5).rstrip(),
        "  log       /a/log/of/the/run.log",
    ]


def test_the_table_of_runs(tmp_path: Path) -> None:
    pushed = RunSummary(
        run_id="20261121-000000-0001",
        pipeline="my-photos-of-the-whole-year",
        status="failed",
        started=STARTED,
        pushed_version=1795386083,
    )
    damaged = RunSummary(
        run_id="20261121-000000-0002",
        pipeline="signs",
        status="damaged",
        started=STARTED,
        error="/x/summary.json is damaged. [Errno]",
    )
    lines = shown(render_runs, [UNBLESSED, FULL, pushed, damaged], tmp_path)
    assert lines == [
        "run                  data                result      accuracy    time     pushed",
        "20261123-080000-cd34 signs               not blessed   63.3 %    1:01          -",
        "20261122-221400-ab12 signs-synthetic 1.2 blessed       93.3 %    6:12          3",
        "20261121-000000-0001 my-photos-of-the-w… failed             -       - 1795386083",
        "20261121-000000-0002 signs               damaged            -       -          -",
        "20261121-000000-0002: /x/summary.json is damaged. [Errno]",
    ]
    assert max(map(len, lines[:-1])) <= 80


def test_a_wide_table_tells_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    lines = shown(render_runs, [FULL], tmp_path, width=120)
    monkeypatch.undo()
    time.tzset()
    assert lines[1].startswith("2026-11-22 23:14 20261122-221400-ab12 signs-synthetic 1.2 blessed")


def test_an_empty_table_says_how_to_begin(tmp_path: Path) -> None:
    assert shown(render_runs, [], tmp_path) == [
        f"No runs in {tmp_path} yet. Start one with:  signs run"
    ]
