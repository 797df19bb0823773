"""A watch over a folder, with a quick child for each run: when it waits, and when it runs."""

import io
import itertools
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from data.converting.convert import ingest
from pipeline.commands.run import _check_watch
from pipeline.config import ConfigError
from pipeline.environment import Workspace
from pipeline.running import run as running
from pipeline.running import watch as watching
from pipeline.running.run import run
from pipeline.running.summary import RunSummary
from pipeline.running.watch import look, watch
from signs import durable
from signs.command import INTERRUPTED
from signs.errors import UserError
from tests import ROOT
from tests.data.images import class_tree, jpeg, write_tree
from tests.pipeline.running.fake_child import FAILS, FINISHES


class Watched:
    """A watch that is given something to see before each of its looks, and ends after the last."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workspace, self.photos = Workspace(folder / "workspace"), folder / "photos"
        self.console = Console(file=io.StringIO(), width=160)
        self.summaries: list[RunSummary] = []
        self.monkeypatch = monkeypatch
        self.clock = itertools.count(0, 0.01)  # seconds
        monkeypatch.setitem(running._WORKERS, "local", "tests.pipeline.running.fake_child")
        monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def see(
        self, *steps: Callable[[], object], source: Path | None = None, end: int = FINISHES
    ) -> str:
        """What it tells, without the times and what a run tells."""
        left = iter(steps)

        def sleep(_: float) -> None:
            try:
                next(left)()
            except StopIteration:
                raise KeyboardInterrupt from None

        clock = SimpleNamespace(
            sleep=sleep, strftime=time.strftime, monotonic=lambda: next(self.clock)
        )
        self.monkeypatch.setattr(watching, "time", clock)
        where = str(source or self.photos)
        settings = [f"train.seed={end}", "train.batch_size=8", "warm_start_again=false"]
        once = partial(
            run, where, self.workspace, self.console, settings=settings, unless_known=True
        )
        assert isinstance(self.console.file, io.StringIO)
        begin = len(self.console.file.getvalue())
        code = watch(
            where, self.workspace, self.console, once, interval_s=1, show=self.summaries.append
        )
        assert code == INTERRUPTED
        lines = self.console.file.getvalue()[begin:].splitlines()
        told = [line[10:] for line in lines if line[2:3] == line[5:6] == ":"]
        return " | ".join(told)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(tmp_path, monkeypatch)


def nothing() -> None:
    """Happens before a look."""


WRITTEN, NEW = "Waits until what arrives is written.", "Waits for new pictures."


def test_arrivals_are_run_one_after_the_other_and_what_is_done_is_not_done_again(
    watched: Watched,
) -> None:
    tree = watched.photos
    told = watched.see(
        lambda: class_tree(tree),
        nothing,
        nothing,
        lambda: write_tree(tree, {"cat/big.jpg": jpeg(98)[:100]}),
        lambda: write_tree(tree, {"cat/big.jpg": jpeg(98)}),
        nothing,
        nothing,
        lambda: write_tree(tree, {"cat/.half.jpg.part": b"hidden"}),
    )
    assert told == f"Waits for {tree}, which is not there. | {WRITTEN} | {NEW} | {WRITTEN} | {NEW}"
    assert [one.spans for one in watched.summaries] == [(1,), (1, 2)]
    assert [sum(one.counts.values()) for one in watched.summaries] == [20, 21]
    # Another watch, as after a kill, finds all done, and shows what the last run came to.
    assert watched.see(nothing, nothing) == f"{WRITTEN} | {NEW}"
    assert [one.run_id for one in watched.summaries[1:]] == [watched.summaries[1].run_id] * 2
    assert len([*watched.workspace.runs("photos").iterdir()]) == 2


def test_a_run_that_was_cut_off_is_gone_on_with(watched: Watched) -> None:
    class_tree(watched.photos)
    watched.see(nothing, nothing)
    shutil.copytree(  # as a kill -9 leaves it
        watched.workspace.run_directory("photos", watched.summaries[0].run_id),
        watched.workspace.run_directory("photos", "99991231-000000-abcd"),
        ignore=shutil.ignore_patterns("summary.json", "result.json"),
    )
    watched.see(nothing, nothing)
    assert len({one.run_id for one in watched.summaries}) == 2


def test_a_failure_is_told_and_tried_again_later_or_when_something_arrives(
    watched: Watched,
) -> None:
    class_tree(watched.photos)
    add = partial(write_tree, watched.photos, {"dog/more.jpg": jpeg(97)})
    told = watched.see(nothing, nothing, add, nothing, nothing, end=FAILS)
    again = "Tries again in {} s, or when something arrives."
    first, second = again.format("2.0"), again.format("4.0")
    assert told == (
        f"{WRITTEN} | the loss is nan | {first} | {WRITTEN} | the loss is nan | {second}"
    )
    assert [one.status for one in watched.summaries] == ["failed", "failed"]
    watched.clock = itertools.count(0, 100)
    watched.see(nothing, nothing, nothing, end=FAILS)
    assert len(watched.summaries) > 3


def test_it_waits_for_whoever_holds_the_workspace_and_for_classes_that_make_no_sense(
    watched: Watched,
) -> None:
    class_tree(watched.photos)
    watched.workspace.root.mkdir()
    with durable.lock(watched.workspace.lock):
        assert "another run is using the workspace" in watched.see(nothing, nothing)
    watched.see(nothing, nothing)
    write_tree(watched.photos, {"bird/1.jpg": jpeg(96)})
    watched.see(nothing, nothing)
    shown = watched.console.file.getvalue()  # type: ignore[attr-defined]
    assert "go on with these classes: --name photos" in shown
    assert len(watched.summaries) == 1


def test_spans_that_others_write(watched: Watched, tmp_path: Path) -> None:
    class_tree(watched.photos)
    data = watched.workspace.data
    ingest(watched.photos, data)
    write_tree(watched.photos, {"cat/new.jpg": jpeg(95)})
    told = watched.see(
        nothing, lambda: ingest(watched.photos, data), nothing, nothing, source=data / "photos"
    )
    assert told == f"{WRITTEN} | {WRITTEN} | {NEW}"
    assert [one.spans for one in watched.summaries] == [(1,), (1, 2)]
    ingest(watched.photos, tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="holds spans, which are read where they are: give the"):
        run(str(tmp_path / "elsewhere" / "photos"), watched.workspace, watched.console)


def test_what_a_look_sees(tmp_path: Path) -> None:
    tree, workspace = class_tree(tmp_path / "photos", per_class=2), Workspace(tmp_path)
    before = look(str(tree), workspace)
    assert before and look(str(tree), workspace) == before
    os.utime(tree / "cat/0.jpg", (time.time(), 1))
    touched = look(str(tree), workspace)
    assert touched != before
    (tmp_path / "photos.corrections.csv").write_text("id,label,corrected\n")
    assert look(str(tree), workspace) not in (before, touched)
    assert look(str(tmp_path / "nowhere"), workspace) is None
    (tmp_path / "empty").mkdir()
    assert look(str(tmp_path / "empty"), workspace) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("photos", "signs", "local"), "--watch names the source itself: leave out --data"),
        (("synthetic:9", "synthetic", "local"), "nothing arrives there; it takes a path"),
        (("photos", "synthetic", "kubeflow-local"), "on Kubeflow, `signs submit --every 6h`"),
    ],
)
def test_what_cannot_be_watched(given: tuple[str, str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        _check_watch(*given)
