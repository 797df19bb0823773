"""A run as the command line asks for it: from a source to a summary, with a child that is quick."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from data.findings import Finding
from data.leaks.report import Burst, Conflicts, Copies, Leaks
from pipeline.config import ConfigError, FurtherSet
from pipeline.environment import Workspace
from pipeline.keeping.holding import HeldError
from pipeline.running import run as running
from pipeline.running.child import Job
from pipeline.running.history import load_runs
from pipeline.running.run import run, with_leaks
from pipeline.running.summary import ComponentSummary, Query, RunSummary
from signs import durable
from signs.errors import UserError
from tests import ROOT
from tests.pipeline.running.fake_child import FAILS, FINISHES, IS_KILLED


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


def started(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, end: int, *also_test: str
) -> tuple[RunSummary, str]:
    """The summary of a run that ends so, and what was shown."""
    monkeypatch.setitem(running._WORKERS, "local", "tests.pipeline.running.fake_child")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    console = Console(file=io.StringIO(), width=120)
    settings = [f"train.seed={end}", "train.batch_size=8"]
    summary = run(
        "synthetic:30",
        workspace,
        console,
        also_test=also_test,
        settings=settings,
        resume="signs run",
    )
    assert isinstance(console.file, io.StringIO)
    return summary, console.file.getvalue()


def test_a_run_that_finishes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    leftover = workspace.root / ".scratch-of-a-run-that-was-killed"
    leftover.mkdir()
    summary, shown = started(workspace, monkeypatch, FINISHES)
    assert (summary.status, summary.error, summary.log) == (
        "finished",
        None,
        str(workspace.log(summary.run_id)),
    )
    assert (summary.dataset, summary.span, summary.version) == ("signs-synthetic", 1, 1)
    assert sum(summary.counts.values()) == 30
    assert (summary.accuracy, summary.blessed, summary.pushed_version) == (0.5, True, 3)
    assert summary.query == Query(2, 0.5, "127.0.0.1:1", 3)
    assert summary.components == {
        "Trainer": ComponentSummary("done", 2.5),
        "Pusher": ComponentSummary("reused", 0.0),
    }
    assert summary.training_s == 2.5
    assert summary.query_commands == (
        f"signs serve --page --workspace {workspace.root}",
        f"signs predict {workspace.root}/examples/signs-synthetic/3.png --workspace "
        f"{workspace.root}",
    )
    assert load_runs(workspace.root)[0] == summary
    assert "signs-synthetic: span 1, version 1, ingested" in shown
    # What libraries leave behind lies in the workspace, and goes with the run.
    [scratch] = workspace.log(summary.run_id).read_text().split()
    assert Path(scratch).parent == workspace.root
    assert not list(workspace.root.glob(".scratch-*"))
    job = Job.load(workspace.run_directory("signs-synthetic", summary.run_id))
    assert job.config.train.batch_size == 8


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (FAILS, "the loss is nan"),
        (
            IS_KILLED,
            "The run was killed by SIGKILL (as the kernel does when memory runs out). If memory "
            "ran out: --set train.batch_size=4 needs less.",
        ),
    ],
)
def test_a_run_that_fails_has_no_result(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, end: int, error: str
) -> None:
    summary, shown = started(workspace, monkeypatch, end)
    assert (summary.status, summary.error) == ("failed", error)
    assert f"Failed: {error}" in shown
    assert summary.components["Trainer"].state == "failed"
    assert summary.components["Pusher"].state == "waiting"
    assert (summary.accuracy, summary.query, summary.training_s) == (None, None, None)
    assert load_runs(workspace.root)[0] == summary


def test_a_mistake_in_the_settings_is_told_before_anything_is_read(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    with pytest.raises(ConfigError, match=r"there is no setting 'train\.epoch'"):
        run("/nowhere", workspace, Console(), settings=["train.epoch=3"])
    assert not workspace.root.exists()


def test_a_mistake_in_a_further_test_set_is_told_before_anything_is_read(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    asked = {"settings": ["evaluate.min_accuracy_on.b-synthetic=0.9"]}
    for also_test, message in (
        (["a-synthetic=synthetic:60"], "no further test set 'b-synthetic'; there are: a-synth"),
        (["b-synthetic=/none"], "there is no '/none'"),
        (["a=synthetic", "a=synthetic"], "two further test sets are called 'a'"),
    ):
        with pytest.raises(UserError, match=message):
            run("/nowhere", workspace, Console(), also_test=also_test, **asked)
    assert not workspace.root.exists()


def test_further_test_sets_reach_the_worker(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    further = ("a-synthetic=synthetic:60", "b-synthetic=synthetic:30")
    summary, shown = started(workspace, monkeypatch, FINISHES, *further)
    config = Job.load(workspace.run_directory("signs-synthetic", summary.run_id)).config
    assert config.also_test == (
        FurtherSet("a-synthetic", 1, 1, 60),
        FurtherSet("b-synthetic", 1, 1, 30),
    )
    assert (workspace.root / "also_test/b-synthetic/span-1/v-1/test").is_dir()
    assert "a-synthetic: span 1, version 1, ingested\nclass  test  \n" in shown
    # The data set of the same name is not theirs.
    assert [path.name for path in workspace.data.iterdir() if path.name[0] != "."] == [
        "signs-synthetic"
    ]


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        durable.lock(tmp_path / ".lock"),
        pytest.raises(HeldError, match="another run is using the workspace"),
    ):
        run("synthetic:30", Workspace(tmp_path), Console())


def test_a_workspace_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HeldError, match=r"cannot be written \(.+\): choose another"):
        run("synthetic:30", Workspace(tmp_path / "file" / "workspace"), Console())


def test_of_copies_a_run_tells_what_leakage_guard_has_found() -> None:
    few, copies = Finding("class_of_few_test", 1, "few"), Finding("test_in_train", 1, "1 of 9")
    closer = Finding("test_in_train", 2, "2 of 9")
    burst = Burst()
    leaks = Leaks({"test": 9}, Copies(), Copies(), burst, Conflicts(), findings=(closer,))
    assert with_leaks((few, copies), leaks) == (few, closer)
    assert with_leaks((few, copies), None) == (few, copies)
