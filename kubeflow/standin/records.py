"""What has run: one JSON file a run, in the place of KFP's ML Metadata and of its cache.

    workspace/kubeflow/runs/<run id>/run.json

Each change is written whole or not at all, so that a run that is killed can be looked at and gone
on with.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, TypeAdapter, ValidationError

from signs import durable
from signs.errors import UserError

# As in ML Metadata (third_party/ml-metadata, Execution.State).
State = Literal["RUNNING", "COMPLETE", "CACHED", "FAILED"]
RECORD = "run.json"


@dataclass
class Artifact:
    """An output, as ML Metadata keeps it."""

    id: int
    uri: str
    type: str  # as in `tfx.Model`
    metadata: dict[str, JsonValue] = field(default_factory=dict)


@dataclass
class Execution:
    """One task of a run. Times are in seconds since 1970."""

    task: str
    state: State = "RUNNING"
    attempts: int = 0
    started: float = 0.0
    ended: float | None = None
    fingerprint: str = ""  # of the cache; empty where the task's caching is off
    cached_from: str | None = None  # id of the run whose outputs stand for it
    executor_input: dict[str, JsonValue] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)  # of each attempt, files
    errors: list[str] = field(default_factory=list)  # of each attempt that failed, one line


@dataclass
class RunRecord:
    """One run of a pipeline."""

    id: str
    pipeline: str
    pipeline_root: str  # of the run: all its outputs lie below it
    digest: str  # SHA-256 of the compiled file
    parameters: dict[str, JsonValue]
    state: State = "RUNNING"
    executions: dict[str, Execution] = field(default_factory=dict)


class RecordError(UserError):
    """A record cannot be read."""


class Records:
    """The records of all runs below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(self, run: RunRecord) -> None:
        """Writes the record of a run."""
        path = self.root / run.id / RECORD
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_bytes(path, _json().dump_json(run, indent=1))

    def load(self, run_id: str) -> RunRecord | None:
        """The record of a run; None where there is none.

        Raises:
            RecordError: it cannot be read.
        """
        path = self.root / run_id / RECORD
        try:
            return _json().validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as err:
            raise RecordError(
                f"{path} cannot be read ({str(err).splitlines()[0]}): delete {path.parent}, whose "
                "steps will run anew"
            ) from err

    def runs(self) -> Iterator[RunRecord]:
        """All runs, the newest last."""
        for path in sorted(self.root.glob(f"*/{RECORD}"), key=lambda path: path.stat().st_mtime):
            run = self.load(path.parent.name)
            if run is not None:
                yield run

    def next_artifact_id(self) -> int:
        """A number that no artifact has yet."""
        taken = [
            artifact.id
            for run in self.runs()
            for execution in run.executions.values()
            for artifact in execution.artifacts.values()
        ]
        return max(taken, default=0) + 1

    def cached(self, pipeline: str, fingerprint: str) -> tuple[str, Execution] | None:
        """The newest execution with this fingerprint that ran to its end, and its run's id.

        As KFP's task service answers (cacheutils/cache.go, GetExecutionCache): by pipeline, newest
        first. That the outputs are still in the store, nobody looks.
        """
        found = None
        for run in self.runs():
            for execution in run.executions.values():
                same = run.pipeline == pipeline and execution.fingerprint == fingerprint
                if same and execution.state == "COMPLETE":
                    found = (run.id, execution)
        return found


@functools.cache
def _json() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)
