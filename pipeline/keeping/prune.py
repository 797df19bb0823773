"""What a workspace no longer needs: found, told, and deleted when asked to.

serving/, artifacts/ (by ML Metadata), data/, logs/ -> plan: what goes, what stays, why -> prune
checkpoints/ of a cluster's claim, where nothing tells what was made from what

Only what runs have made is looked at, by its name and by the metadata; symbolic links are never
followed. A folder is first renamed, so that it is there whole or not at all, and the metadata are
told before: a pruning that is cut off can be repeated.
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data import spans
from data.window.window import history
from pipeline.environment import Workspace
from pipeline.keeping.lineage import Lineage
from pipeline.running.history import began_at
from serving.rollout import Rollout
from signs import durable
from signs.errors import UserError
from signs.versions import complete_versions

Kind = Literal["versions", "artifacts", "spans", "unfinished trainings", "logs", "leftovers"]
KINDS: tuple[Kind, ...] = (
    "versions",
    "artifacts",
    "spans",
    "unfinished trainings",
    "logs",
    "leftovers",  # of a pruning that was cut off
)
_RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_LOG = re.compile(rf"({_RUN_ID.pattern})\.log")
_SPAN, _VERSION = re.compile(r"span-\d+"), re.compile(r"v-\d+")
_TRAINING = re.compile(r"[0-9a-f]{16}")
_LEFTOVER = ".pruned-"
_CHECKPOINTS = "checkpoints"
_WAIT_S = 10.0
# A step on a cluster is tried again within a week (`retry_within_s`): it goes on with these.
_MAY_GO_ON_S = 8 * 24 * 3600.0


class PruneError(UserError):
    """Nothing, or not all, can be pruned."""


@dataclass(frozen=True)
class Item:
    """A folder or a file that runs have made."""

    kind: Kind
    path: Path
    bytes: int
    why: str | None = None  # it stays; None where it may go


@dataclass
class Plan:
    """All that was found in a workspace. What is no run's is left alone, and told."""

    items: list[Item] = field(default_factory=list)
    strangers: list[Path] = field(default_factory=list)

    def add(self, kind: Kind, path: Path, why: str | None) -> None:
        """Adds what was found, and measures it."""
        self.items.append(Item(kind, path, _size(path), why))

    def going(self, kind: Kind | None = None) -> list[Item]:
        """What is no longer needed."""
        return [item for item in self.items if item.why is None and kind in (None, item.kind)]

    def staying(self, kind: Kind | None = None) -> list[Item]:
        """What is kept."""
        return [item for item in self.items if item.why is not None and kind in (None, item.kind)]


def plan(workspace: Workspace, keep: int) -> Plan:
    """Looks what may go.

    Args:
        workspace: nothing in it is changed.
        keep: so many runs of each data set stay whole, and so many versions of each model; from 1.

    Raises:
        UserError: the metadata, or a model's labels, cannot be read: what is needed is not known.
    """
    for name in ("runs", "serving", "artifacts", "data", "logs", _CHECKPOINTS):
        if (workspace.root / name).is_symlink():
            raise PruneError(f"{workspace.root / name} is a link: only what lies in it is pruned")
    found = Plan()
    lineage = Lineage(workspace)
    runs = _newest_runs(workspace, keep)
    versions = _versions(workspace, keep, found)
    needed = _needed(lineage, runs, versions)
    _artifacts(workspace, lineage, runs, needed, found)
    _trainings(workspace, runs, found)
    _spans(workspace, lineage, needed, found, 1 if workspace.metadata.exists() else keep)
    _logs(workspace, runs, found)
    return found


def prune(workspace: Workspace, planned: Plan) -> None:
    """Deletes what the plan lets go; the caller holds the workspace.

    Raises:
        PruneError: a promotion or an ingestion is under way.
        OSError: something cannot be deleted. The rest can be pruned again.
    """
    paths = {item.path for item in planned.going("artifacts")}
    lineage = Lineage(workspace)
    lineage.mark_deleted(
        [made.id for made in lineage.artifacts.values() if workspace.root / made.path in paths]
    )
    for item in planned.going():
        match item.kind:
            case "versions":
                with _alone(item.path.parent):  # as a promotion holds it
                    _delete(item.path)
            case "spans":
                with _alone(workspace.data / ".lock"):  # as an ingestion holds it
                    _delete(item.path)
                    with contextlib.suppress(OSError):  # it has another version
                        item.path.parent.rmdir()
            case _:
                _delete(item.path)


# --- What is needed -------------------------------------------------------------------------------


def _newest_runs(workspace: Workspace, keep: int) -> list[Path]:
    """The folders of the newest runs of each data set."""
    by_pipeline = (
        sorted(run for run in _folders(pipeline) if _RUN_ID.fullmatch(run.name))
        for pipeline in _folders(workspace.root / "runs")
    )
    return [run for runs in by_pipeline for run in runs[-keep:]]


def _needed(
    lineage: Lineage, runs: Collection[Path], versions: Mapping[str, Collection[int]]
) -> dict[int, str]:
    """Why an artifact is needed, by its id."""
    pushed = [lineage.of_versions(model, numbers) for model, numbers in versions.items()]
    reasons = {
        "of a version that stays": lineage.upstream(set().union(*pushed)),
        "the baseline": lineage.upstream(lineage.baselines()),
        "of the last runs": lineage.of_runs([run.name for run in runs]) & lineage.artifacts.keys(),
    }
    return {artifact: why for why, artifacts in reasons.items() for artifact in artifacts}


# --- What is there --------------------------------------------------------------------------------


def _versions(workspace: Workspace, keep: int, found: Plan) -> dict[str, list[int]]:
    """Finds the pushed versions, and returns those that stay by model."""
    staying: dict[str, list[int]] = {}
    for base in (workspace.root / "serving").glob("[!.]*"):
        if not base.is_dir():  # as a model's file of labels
            continue
        pushed = complete_versions(base)
        if base.is_symlink():
            found.strangers.append(base)
            staying[base.name] = list(pushed)
            continue
        state = Rollout(base).state()
        back = [number for number in state.earlier if number in pushed][-1:]
        why = (
            dict.fromkeys(list(pushed)[-keep:], "one of the last")
            | dict.fromkeys(list(pushed)[-1:], "the newest")
            | dict.fromkeys(back, "for a rollback")
            | dict.fromkeys(state.versions, "served")
            | {number: f"labelled {label}" for label, number in state.labels.items()}
        )
        numbers = {path.name: number for number, path in pushed.items()}
        for entry in _ours(base, numbers.__contains__, found):
            found.add("versions", entry, why.get(numbers[entry.name]))
        staying[base.name] = list(why)
    return staying


def _artifacts(
    workspace: Workspace,
    lineage: Lineage,
    runs: Collection[Path],
    needed: Mapping[int, str],
    found: Plan,
) -> None:
    """Finds what components have made, those that failed as well."""
    by_path = {workspace.root / made.path: made for made in lineage.artifacts.values()}
    kept_executions = lineage.executions_of([run.name for run in runs])
    known = {str(execution) for execution in lineage.executions}
    for pipeline in _folders(workspace.artifacts):
        nodes = {name.partition(".")[2] for name in lineage.nodes}
        for node in _ours(pipeline, {*nodes, _CHECKPOINTS}.__contains__, found):
            if node.name == _CHECKPOINTS:
                continue
            for output in _folders(node):
                for folder in _ours(output, known.__contains__, found):
                    made = by_path.get(folder)
                    why = needed.get(made.id) if made else None
                    if made is None and int(folder.name) in kept_executions:
                        why = "of the last runs"
                    found.add("artifacts", folder, why)


def _trainings(workspace: Workspace, runs: Collection[Path], found: Plan) -> None:
    """Finds what trainings have left that were cut off; the last runs may go on with theirs."""
    for pipeline in _folders(workspace.artifacts):
        own = [began_at(run) for run in runs if run.parent.name == pipeline.name]
        for training in _ours(pipeline / _CHECKPOINTS, _TRAINING.fullmatch, found):
            is_recent = training.stat().st_mtime >= min(own, default=0.0)
            found.add("unfinished trainings", training, "of the last runs" if is_recent else None)
    for pipeline in _folders(workspace.root / _CHECKPOINTS):
        for training in _ours(pipeline, _TRAINING.fullmatch, found):
            is_recent = time.time() - _touched(training) < _MAY_GO_ON_S
            found.add("unfinished trainings", training, "may go on" if is_recent else None)


def _spans(
    workspace: Workspace, lineage: Lineage, needed: Mapping[int, str], found: Plan, last: int
) -> None:
    """Finds the versions of spans; of each data set the last ones stay whoever needs them."""
    why: dict[tuple[str, int, int | None], str] = {}
    for artifact, reason in needed.items():
        made = lineage.artifacts[artifact]
        if made.type == "Examples":
            # A run that was given a version has not recorded which.
            key = (made.pipeline, made.numbers.get("span", 0), made.numbers.get("version"))
            why[key] = reason
    for dataset in _folders(workspace.data):
        published = {path: (span, version) for span, version, path in spans.versions(dataset)}
        newest = sorted(published, key=published.__getitem__)[-last:]
        stays: dict[Path, str] = {}
        for folder, (span, version) in sorted(published.items(), key=lambda one: one[1]):
            keys = ((dataset.name, span, version), (dataset.name, span, None))
            reasons = [why[key] for key in keys if key in why]
            if folder in newest:
                reasons.insert(0, "the newest" if folder == newest[-1] else "one of the last")
            if reasons:
                stays[folder] = reasons[0]
                for part in history(folder)[:-1]:
                    stays.setdefault(part.directory, f"span {span} goes on from it")
        for span_folder in _ours(dataset, _SPAN.fullmatch, found):
            for folder in _ours(span_folder, _VERSION.fullmatch, found):
                found.add("spans", folder, stays.get(folder))


def _logs(workspace: Workspace, runs: Collection[Path], found: Plan) -> None:
    """Finds what libraries have printed."""
    names = {f"{run.name}.log" for run in runs}
    for log in _ours(workspace.root / "logs", _LOG.fullmatch, found):
        found.add("logs", log, "of the last runs" if log.name in names else None)


# --- Folders --------------------------------------------------------------------------------------


def _ours(folder: Path, is_ours: Callable[[str], object], found: Plan) -> list[Path]:
    """The entries of a folder whose names we give. Others are strangers, and so are links."""
    ours = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if entry.name.startswith(_LEFTOVER):
            found.add("leftovers", entry, None)
        elif entry.name.startswith("."):
            continue  # TFX's own, and locks
        elif entry.is_symlink() or not is_ours(entry.name):
            found.strangers.append(entry)
        else:
            ours.append(entry)
    return ours


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder that are no links, and not hidden."""
    entries = sorted(folder.glob("[!.]*")) if folder.is_dir() else []
    return [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    if not path.is_dir():
        return path.lstat().st_size
    return sum(
        Path(folder, name).lstat().st_size for folder, _, names in os.walk(path) for name in names
    )


def _touched(folder: Path) -> float:
    """When something in it was written last, in seconds since 1970."""
    return max(path.lstat().st_mtime for path in (folder, *folder.iterdir()))


def _delete(path: Path) -> None:
    if path.is_dir() and not path.name.startswith(_LEFTOVER):
        path = path.rename(path.with_name(_LEFTOVER + path.name))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    try:
        with durable.lock(path, timeout_s=_WAIT_S):
            yield
    except durable.LockedError as err:
        raise PruneError(
            f"{path.parent if path.name == '.lock' else path} is in use, by a promotion or an "
            "ingestion: what is left is pruned by the same command later"
        ) from err
