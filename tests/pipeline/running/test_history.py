"""Runs are remembered, whatever became of them: finished, killed, damaged, still at work."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.environment import Workspace
from pipeline.running.history import (
    find_run,
    in_place,
    load_run,
    load_runs,
    mark_running,
    new_run_id,
    query_commands,
)
from pipeline.running.summary import ComponentSummary, RunSummary
from pipeline.showing.events import (
    ComponentState,
    EventReader,
    EventWriter,
    RunStarted,
    Training,
)
from signs.errors import UserError
from tests.pipeline.summaries import FULL, STARTED


@pytest.fixture
def somebody() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not this one."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_run_ids_are_in_utc_and_differ() -> None:
    ids = {new_run_id(STARTED) for _ in range(20)}
    assert len(ids) > 10
    assert all(len(name) == 20 and name.startswith("20261122-221400-") for name in ids)


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
    assert load_run(run_directory) == in_place(FULL, Workspace(run_directory.parents[2]))


def test_a_run_is_told_by_where_the_workspace_lies_now(run_directory: Path, tmp_path: Path) -> None:
    workspace = Workspace(run_directory.parents[2])
    workspace.serving(FULL.pipeline).mkdir(parents=True)
    before = "/before/artifacts/signs-synthetic/Trainer/model/4"
    in_place(replace(FULL, base_model=before), workspace).save(run_directory)
    moved = workspace.root.rename(tmp_path.with_name(f"{tmp_path.name} moved"))
    [run] = load_runs(moved)
    assert run.log == f"{moved}/logs/{run.run_id}.log"
    assert run.pushed_to == f"{moved}/serving/signs-synthetic"
    assert run.base_model == f"{moved}/artifacts/signs-synthetic/Trainer/model/4"
    assert run.query_commands == (f"signs serve --page --workspace '{moved}'",)


def test_the_commands_name_a_picture_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = Workspace(Path("workspace"))
    assert query_commands(here, "cats") == ()  # never pushed
    here.serving("cats").mkdir(parents=True)
    assert query_commands(here, "cats") == ("signs serve --page",)
    here.examples("cats").mkdir(parents=True)
    for name in ("tabby", "a b", "manx"):
        (here.examples("cats") / f"{name}.png").touch()
    assert query_commands(here, "cats")[1] == "signs predict workspace/examples/cats/manx.png"
    (here.examples("cats") / "manx.png").unlink()
    (here.examples("cats") / "tabby.png").unlink()
    here.serving("dogs").mkdir()
    elsewhere = Workspace(tmp_path / "my ws")
    here.root.rename(elsewhere.root)
    root = f"'{tmp_path}/my ws'"
    assert query_commands(elsewhere, "cats") == (
        f"signs serve --page --workspace {root} --model cats",
        f"signs predict '{tmp_path}/my ws/examples/cats/a b.png' --workspace {root} --model cats",
    )


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


# --- Runs of the code before this one (its files, in old_run/) ------------------------------------

OLD_RUN = Path(__file__).with_name("old_run")


def test_a_summary_of_older_code_is_read_and_written_with_the_same_keys(tmp_path: Path) -> None:
    directory = tmp_path / "runs" / "signs" / "20261126-154129-9bee"
    shutil.copytree(OLD_RUN, directory)
    [run] = load_runs(tmp_path)
    assert (run.status, run.blessed, run.pushed_version) == ("finished", True, 1795707805)
    assert run.query is not None
    assert run.query.images == 120
    told = json.loads(run.to_json())
    kept = json.loads((OLD_RUN / "summary.json").read_text())
    here = {
        "pushed_to": f"{tmp_path}/serving/signs",
        "log": f"{tmp_path}/logs/{directory.name}.log",
        "query_commands": [],  # what it has pushed is not there
    }
    assert told.items() >= (kept | here).items()


def test_the_events_of_older_code_tell_of_a_run_that_was_killed(run_directory: Path) -> None:
    shutil.copy(OLD_RUN / "events.jsonl", run_directory)
    run = load_run(run_directory)
    assert run.status == "interrupted"
    assert run.components["Transform"].state == "done"
    assert run.components["Trainer"].state == "failed"
    [*_, training] = EventReader(run_directory / "events.jsonl").read()
    assert isinstance(training, Training)
    assert (training.epoch, training.steps) == (1, 33)


def test_a_run_is_found_by_a_part_of_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no runs in .* yet: start one with `signs run`"):
        find_run(tmp_path, None)
    for name in ("20261122-221400-ab12", "20261123-221400-cd34"):
        (tmp_path / "runs" / "signs" / name).mkdir(parents=True)
    assert find_run(tmp_path, None).run_id == "20261123-221400-cd34"
    assert find_run(tmp_path, "ab").run_id == "20261122-221400-ab12"
    with pytest.raises(UserError, match=r"there is no run x in .*: 20261123-221400-cd34, "):
        find_run(tmp_path, "x")
    with pytest.raises(UserError, match="2 runs have 2214 in their names"):
        find_run(tmp_path, "2214")
