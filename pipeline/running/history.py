"""Past runs, found in the workspace: finished, at work, killed or damaged.

runs/<pipeline>/<run id>/ -> summary.json, else events.jsonl -> RunSummary

A run that was killed leaves no summary, only its events: it is told from those.
"""

import contextlib
import os
import secrets
import shlex
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pydantic import ValidationError

from pipeline.environment import Workspace
from pipeline.running.summary import SUMMARY, ComponentSummary, RunSummary, Status
from pipeline.showing.events import EVENTS, EventReader
from pipeline.showing.run_state import RunState
from pipeline.showing.wording import shorten
from signs.errors import UserError

PID = "pid"
_ID_TIME = "%Y%m%d-%H%M%S"


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
        summary = in_place(RunSummary.load(run_directory), Workspace(run_directory.parents[2]))
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


def in_place(run: RunSummary, workspace: Workspace) -> RunSummary:
    """The summary with the paths of now: the workspace may have been moved since it was kept."""
    root = workspace.root
    served = workspace.serving(run.pipeline)
    return replace(
        run,
        report=_artifact(run.report, root),
        pushed_to=run.pushed_to and str(served.absolute()),
        base_model=_artifact(run.base_model, root),
        log=str(workspace.log(run.run_id).absolute()),
        query_commands=query_commands(workspace, run.pipeline),
    )


def _artifact(path: str | None, root: Path) -> str | None:
    """An artifact's folder in the workspace as it lies now."""
    if path is None or "artifacts/" not in path:
        return path
    return str(root.absolute() / "artifacts" / path.rpartition("artifacts/")[2])


def query_commands(workspace: Workspace, model: str) -> tuple[str, ...]:
    """How to serve the model and how to ask it about a picture that is there; none before a push.

    They hold where the run was started, as its own `--workspace` does.
    """
    if not workspace.serving(model).is_dir():
        return ()
    which = [] if workspace.root == Path("workspace") else ["--workspace", str(workspace.root)]
    if len([path for path in workspace.serving("").iterdir() if path.is_dir()]) > 1:
        which += ["--model", model]
    commands = [shlex.join(["signs", "serve", "--page", *which])]
    if pictures := sorted(workspace.examples(model).glob("*")):
        picture = str(pictures[len(pictures) // 2])
        commands.append(shlex.join(["signs", "predict", picture, *which]))
    return tuple(commands)


def find_run(workspace: Path, name: str | None) -> RunSummary:
    """The run of that name, or of which it is a part that no other has; None: the newest.

    Raises:
        UserError: there is none, or there are several.
    """
    runs = load_runs(workspace)
    if not runs:
        raise UserError(f"no runs in {workspace} yet: start one with `signs run`")
    if name is None:
        return runs[0]
    found = [run for run in runs if run.run_id == name] or [
        run for run in runs if name and name in run.run_id
    ]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} runs have {name} in their names" if found else f"there is no run {name}"
    shown = ", ".join(shorten([run.run_id for run in found or runs]))
    raise UserError(f"{what} in {workspace}: {shown}")


def load_runs(workspace: Path) -> list[RunSummary]:
    """All runs in the workspace, newest first; none where there is no workspace yet."""
    folders = [
        folder
        for folder in (Workspace(workspace).root / "runs").glob("*/*")
        if folder.is_dir() and not folder.name.startswith(".")
    ]
    return sorted(map(load_run, folders), key=lambda run: (run.started, run.run_id), reverse=True)


def _from_events(run_directory: Path, status: Status, error: str | None = None) -> RunSummary:
    """What the events tell of a run that left no readable summary."""
    events = EventReader(run_directory / EVENTS).read()
    run = RunState()
    run.apply(events)
    if events:
        began = events[0].time
        ended = time.time() if status == "running" else events[-1].time
    else:
        began, ended = began_at(run_directory), None
    if ended is not None and status != "running":
        run.stop(ended)
    return RunSummary(
        run_id=run_directory.name,
        pipeline=run_directory.parent.name,
        status=status,
        started=datetime.fromtimestamp(began, UTC),
        duration_s=None if ended is None else max(0.0, ended - began),
        components={
            step.name: ComponentSummary(step.state, step.seconds) for step in run.components
        },
        component_peak_mib=run.peaks,
        error=error,
    )


def began_at(run_directory: Path) -> float:
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
