"""What happens in a run, as it happens: the child process writes events, the parent reads them.

EventWriter (in the child, any thread) -> <run folder>/events.jsonl -> EventReader -> the view
"""

import functools
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Discriminator, PlainSerializer, TypeAdapter, ValidationError

from modules.training.progress import TrainingProgress

EVENTS = "events.jsonl"  # in the run's folder
State = Literal["waiting", "running", "reused", "done", "failed"]

# Text for people. A file's name in it may not be UTF-8, which JSON must be.
Text = Annotated[
    str, PlainSerializer(lambda text: text.encode("utf-8", "backslashreplace").decode("utf-8"))
]


@dataclass(frozen=True, kw_only=True)
class _Timed:
    time: float = field(default_factory=time.time)  # seconds since 1970, when it happened


@dataclass(frozen=True)
class RunStarted(_Timed):
    """The graph is built; `components` are the ids of its components, in the order they run."""

    components: tuple[str, ...]
    event: Literal["run_started"] = field(default="run_started", init=False)


@dataclass(frozen=True)
class Phase(_Timed):
    """Something worth showing that is no component, such as importing TensorFlow.

    Sent twice: with `seconds` None when it begins, and with the seconds it took when it is over.
    """

    name: str
    seconds: float | None = None
    event: Literal["phase"] = field(default="phase", init=False)


@dataclass(frozen=True)
class ComponentState(_Timed):
    """The component `id` entered `state`. `seconds` is the time it took, once it is over."""

    id: str
    state: State
    seconds: float | None = None
    message: Text | None = None  # a few words for the user: why it failed, what was reused
    peak_mib: float | None = None  # the largest memory of the run's processes meanwhile
    event: Literal["component"] = field(default="component", init=False)


@dataclass(frozen=True)
class Training(_Timed, TrainingProgress):
    """Where training stands."""

    event: Literal["training"] = field(default="training", init=False)

    @classmethod
    def of(cls, progress: TrainingProgress) -> "Training":
        """The event, now."""
        return cls(**vars(progress))


@dataclass(frozen=True)
class RunFinished(_Timed):
    """The last event of a run. `message` says why where `ok` is false."""

    ok: bool
    message: Text | None = None
    event: Literal["run_finished"] = field(default="run_finished", init=False)


Event = RunStarted | Phase | ComponentState | Training | RunFinished


@functools.cache
def _json() -> TypeAdapter[Event]:
    return TypeAdapter(Annotated[Event, Discriminator("event")])


class EventWriter:
    """Appends events to the file at `path`; readers see an event as soon as `write` returns.

    One event is one write of one line, so that threads and processes may share the file.
    The writer before this one may have died within a line: that line is ended, not continued.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._lock = threading.Lock()
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")

    def write(self, event: Event) -> None:
        """Appends `event`. Its numbers may be NumPy's."""
        # `warnings` would be about NumPy's numbers, which `fallback` turns into Python's.
        line = _json().dump_json(event, fallback=lambda value: value.item(), warnings=False)
        with self._lock:
            os.write(self._descriptor, line + b"\n")

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EventReader:
    """Follows the file at `path` while somebody else writes it.

    The file is JSON lines in UTF-8, one event a line:

        {"time": 1795385640.1, "components": ["Transform", "Trainer"], "event": "run_started"}
        {"time": 1795385641.2, "id": "Trainer", "state": "running", ..., "event": "component"}

    `event` names the kind, the other keys are the fields of its class above. A line without its
    line end is still being written and is left for the next read. What this version does not know
    (a kind or a key that a newer writer adds) and what is damaged is skipped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def read(self) -> list[Event]:
        """The events since the last call, oldest first; none while the file does not exist."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                fresh = file.read()
        except FileNotFoundError:
            return []
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._offset += len(whole)
        events = []
        for line in whole.splitlines():
            try:
                events.append(_json().validate_json(line))
            except ValidationError:
                continue
        return events
