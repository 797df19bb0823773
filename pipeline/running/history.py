"""What became of each run: kept in the run's folder, listed and told to the user.

    run -> RunSummary -> runs/<pipeline>/<run id>/summary.json -> load_runs -> tables

A run that was killed leaves no summary, only its events: it is told from those.
"""

import contextlib
import functools
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil
from pydantic import AwareDatetime, TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text as Words

from pipeline.environment import Workspace
from pipeline.running.events import EventReader, State, Text
from pipeline.running.steps import Progress
from pipeline.running.wording import clock, duration, percent
from signs import features

SUMMARY = "summary.json"
EVENTS = "events.jsonl"
PID = "pid"
Status = Literal["running", "finished", "failed", "interrupted", "damaged"]
_ID_TIME = "%Y%m%d-%H%M%S"


@dataclass(frozen=True)
class ComponentSummary:
    """How one component ended; `seconds` is None where it never began."""

    state: State
    seconds: float | None = None


@dataclass(frozen=True)
class Unmet:
    """A lower bound that the model did not reach: why it is not blessed.

    `value` is the metric itself where `kind` is absolute, and its difference from the last blessed
    model's where it is change; None where the metric could not be computed.
    """

    metric: str
    threshold: float
    value: float | None
    kind: Literal["absolute", "change"] = "absolute"
    slice: str | None = None  # None: all test images


@dataclass(frozen=True)
class Query:
    """The pushed model as it answered over gRPC when the run was over."""

    images: int
    accuracy: float | None  # on them, in [0, 1]
    address: str
    version: int | None = None


@dataclass(frozen=True)
class Tuned:
    """The best hyperparameters that the Tuner found: the model was trained with them."""

    hyperparameters: dict[str, float]  # by their names in the recipe
    accuracy: float  # of that trial, on the eval split, in [0, 1]
    trials: int  # that succeeded


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run. What is not known, or did not happen, is None or empty."""

    run_id: str
    pipeline: str
    status: Status
    started: AwareDatetime
    duration_s: float | None = None
    dataset: str | None = None
    span: int | None = None
    version: int | None = None
    counts: dict[str, int] = field(default_factory=dict)  # images by split
    components: dict[str, ComponentSummary] = field(default_factory=dict)
    accuracy: float | None = None  # on the test split, in [0, 1]
    metrics: dict[str, float | None] = field(default_factory=dict)
    blessed: bool | None = None  # by the Evaluator; None where it did not get to say
    not_blessed_reasons: tuple[Unmet, ...] = ()
    infra_blessed: bool | None = None  # by the serving check
    pushed_version: int | None = None
    pushed_to: Text | None = None  # the base path that a model server polls
    reused_model: bool = False  # nothing was trained: an earlier run's model stands
    tuned: Tuned | None = None
    base_model: Text | None = None  # whose weights the training started from
    training_s: float | None = None  # the Trainer
    fit_s: float | None = None  # of it, fitting the model
    peak_rss_mib: float | None = None
    log: Text | None = None
    error: Text | None = None
    query: Query | None = None
    query_commands: tuple[str, ...] = ()  # to serve the pushed model and to ask it

    def to_json(self) -> str:
        """The summary as summary.json holds it and `--json` prints it."""
        return _json().dump_json(self, indent=2, fallback=lambda value: value.item()).decode()

    def save(self, run_directory: Path) -> None:
        """Writes summary.json into the run's folder, whole or not at all."""
        aside = run_directory / f".{SUMMARY}.{os.getpid()}"
        try:
            with aside.open("w") as file:
                file.write(self.to_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
            aside.replace(run_directory / SUMMARY)
        finally:
            aside.unlink(missing_ok=True)


@functools.cache
def _json() -> TypeAdapter[RunSummary]:
    return TypeAdapter(RunSummary)


def new_run_id(now: datetime) -> str:
    """A name for a run that begins `now`, such as `20261122-221400-ab12`; the time is UTC."""
    return f"{now.astimezone(UTC).strftime(_ID_TIME)}-{secrets.token_hex(2)}"


def mark_running(run_directory: Path) -> None:
    """Writes the file that tells that this process is at work on the run."""
    (run_directory / PID).write_text(f"{os.getpid()}\n")


def load_run(run_directory: Path) -> RunSummary:
    """The summary of the run in `runs/<pipeline>/<run id>/`.

    Never fails: a summary that cannot be read has the status `damaged` and says why in `error`; a
    run without one is `running` while its process lives, and `interrupted` after.
    """
    path = run_directory / SUMMARY
    try:
        summary = _json().validate_json(path.read_bytes())
    except FileNotFoundError:
        return _from_events(run_directory, "running" if _is_alive(run_directory) else "interrupted")
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = f"{place}: {first['msg']}" if place else first["msg"]
        return _from_events(run_directory, "damaged", error=f"{path} is damaged. {reason}")
    except OSError as err:
        reason = err.strerror or type(err).__name__
        return _from_events(run_directory, "damaged", error=f"{path} cannot be read: {reason}")
    if summary.status == "running" and not _is_alive(run_directory):
        return replace(summary, status="interrupted")
    return summary


def load_runs(workspace: Path) -> list[RunSummary]:
    """All runs in the workspace, newest first; none where there is no workspace yet."""
    folders = [
        folder
        for folder in (Workspace(workspace).root / "runs").glob("*/*")
        if folder.is_dir() and not folder.name.startswith(".")
    ]
    return sorted(map(load_run, folders), key=lambda run: (run.started, run.run_id), reverse=True)


def render_runs(console: Console, runs: Sequence[RunSummary], workspace: Path) -> None:
    """Prints a table of the runs, one line each, and below it what is wrong with damaged ones."""
    if not runs:
        _say(console, f"No runs in {workspace} yet. Start one with:  signs run")
        return
    roomy = console.width >= 110  # else the run's name tells when it began
    name_width = max(len(run.run_id) for run in runs)
    # The data's name gives way, down to a few letters: no other column can lose any.
    data_width = max(8, console.width - name_width - 11 - 8 - 7 - 10 - 5 - (17 if roomy else 0))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    if roomy:
        table.add_column("when", no_wrap=True)
    table.add_column("run", no_wrap=True)
    table.add_column("data", no_wrap=True, overflow="ellipsis", max_width=data_width)
    table.add_column("result", no_wrap=True, min_width=11)
    table.add_column("accuracy", no_wrap=True, justify="right")
    table.add_column("time", no_wrap=True, min_width=7, justify="right")
    table.add_column("pushed", no_wrap=True, min_width=10, justify="right")
    for run in runs:
        result, style = _result(run)
        when = [run.started.astimezone().strftime("%Y-%m-%d %H:%M")] if roomy else []
        table.add_row(
            *map(Words, when),
            Words(run.run_id),
            Words(_data(run)),
            Words(result, style),
            Words(percent(run.accuracy)),
            Words("-" if run.duration_s is None else clock(run.duration_s)),
            Words("-" if run.pushed_version is None else str(run.pushed_version)),
        )
    console.print(table)
    for run in runs:
        if run.status == "damaged":
            _say(console, f"{run.run_id}: {run.error}")


def render_summary(console: Console, run: RunSummary) -> None:
    """Prints what a run came to: accuracy, blessing, where it was pushed, how to query it."""
    lines: list[tuple[str, str]] = []
    if run.accuracy is not None:
        images = run.counts.get(features.TEST)
        lines.append(("accuracy", f"{percent(run.accuracy)} on {_images(images)}"))
    if run.blessed is not None:
        lines.append(("blessed", "yes" if run.blessed else "no"))
        lines += [("", _in_words(unmet)) for unmet in run.not_blessed_reasons]
    if run.infra_blessed is False:
        lines.append(("served", "no: the model server's answers are not the trained model's"))
    if run.pushed_version is not None:
        lines.append(("pushed", f"version {run.pushed_version} to {run.pushed_to}"))
    elif run.status == "finished":
        lines.append(("pushed", "no: what was served before still is"))
    if run.query is not None:
        lines.append(
            (
                "queried",
                f"{_images(run.query.images)} over gRPC, accuracy {percent(run.query.accuracy)}",
            )
        )
    if run.tuned is not None:
        lines.append(("tuned", _best(run.tuned)))
    if "WarmStart" in run.components and run.status == "finished":
        lines.append(("started", _start(run.base_model)))
    if run.error is not None:
        lines.append(("error", run.error))
    lines += [("query it" if not i else "", words) for i, words in enumerate(run.query_commands)]
    if run.log is not None:
        lines.append(("log", run.log))
    result, style = _result(run)
    took = "" if run.duration_s is None else f" in {duration(run.duration_s)}"
    model = ", with an earlier run's model" if run.reused_model else ""
    head = f"{run.pipeline}  {run.run_id}  "
    console.print(
        Words.assemble((head, "bold"), (result, f"bold {style}"), took + model), soft_wrap=True
    )
    for name, words in lines:
        # Never wrapped: paths and commands are there to be copied.
        console.print(Words.assemble((f"  {name:10}", "dim"), words), soft_wrap=True)


def _from_events(run_directory: Path, status: Status, error: str | None = None) -> RunSummary:
    """What the events tell of a run that left no readable summary."""
    events = EventReader(run_directory / EVENTS).read()
    progress = Progress()
    progress.apply(events)
    if events:
        began = events[0].time
        ended = time.time() if status == "running" else events[-1].time
    else:
        began, ended = _began(run_directory), None
    if ended is not None and status != "running":
        progress.stop(ended)
    return RunSummary(
        run_id=run_directory.name,
        pipeline=run_directory.parent.name,
        status=status,
        started=datetime.fromtimestamp(began, UTC),
        duration_s=None if ended is None else max(0.0, ended - began),
        components={
            step.name: ComponentSummary(step.state, step.seconds) for step in progress.components
        },
        error=error,
    )


def _began(run_directory: Path) -> float:
    """When a run without events began: its name tells, else its folder."""
    with contextlib.suppress(ValueError):
        told = datetime.strptime("-".join(run_directory.name.split("-")[:2]), _ID_TIME)
        return told.replace(tzinfo=UTC).timestamp()
    return run_directory.stat().st_mtime


def _is_alive(run_directory: Path) -> bool:
    """Whether the process that works on the run still exists."""
    path = run_directory / PID
    try:
        process = psutil.Process(int(path.read_text()))
        # A process that began after the file was written only has the number of the one meant.
        is_same = process.create_time() <= path.stat().st_mtime + 1
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, OverflowError, psutil.Error):
        return False


def _result(run: RunSummary) -> tuple[str, str]:
    """One or two words for how the run ended, and their colour."""
    if run.status == "finished" and run.blessed is not None:
        blessed = run.blessed and run.infra_blessed is not False
        return ("blessed", "green") if blessed else ("not blessed", "yellow")
    styles: dict[Status, str] = {"running": "cyan", "finished": "green", "interrupted": "yellow"}
    return run.status, styles.get(run.status, "red")


def _data(run: RunSummary) -> str:
    span = "" if run.span is None else f" {run.span}"
    version = "" if run.version is None else f".{run.version}"
    return f"{run.dataset or run.pipeline}{span}{version}"


def _images(count: int | None) -> str:
    return "the test images" if count is None else f"{count:,} test images"


def _best(tuned: Tuned) -> str:
    values = ", ".join(f"{name} {value:.3g}" for name, value in tuned.hyperparameters.items())
    of = "the only trial" if tuned.trials == 1 else f"the best of {tuned.trials} trials"
    return f"{values} ({of}: {percent(tuned.accuracy)} on the eval images)"


def _start(base_model: str | None) -> str:
    if base_model is None:
        return "from random weights: no model was blessed before"
    return f"from the weights of {base_model}"


def _in_words(unmet: Unmet) -> str:
    where = unmet.slice or "all test images"
    if unmet.value is None:
        return f"{unmet.metric} of {where} could not be computed (threshold {unmet.threshold:g})"
    if unmet.kind == "change":
        return (
            f"{unmet.metric} of {where} changed by {unmet.value:+.4f} from the last blessed model: "
            f"at least {unmet.threshold:g} is needed"
        )
    return f"{unmet.metric} of {where} is {unmet.value:.4f}: at least {unmet.threshold:g} is needed"


def _say(console: Console, words: str) -> None:
    console.print(words, markup=False, highlight=False, emoji=False, soft_wrap=True)
