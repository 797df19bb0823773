"""The versions of one model: found under a base path, loaded, leased to requests, unloaded.

    base path -> poll -> wanted versions -> load -> AVAILABLE -> lease ... release -> unload -> END

One thread does all of it. A new version is loaded before the old one goes, and an old one goes only
when its last request is answered, so that a reload never fails a request. What a version must look
like to be loaded at all:

- its folder is a non-negative number (leading zeros are fine);
- it holds `saved_model.pb`. Those who push models (TFX's Pusher, for one) write that file last, so
  a folder without it is still being copied and is left alone until it is complete.

The newest such version is wanted (TF Serving's default policy). One that cannot be loaded ends with
its error while the old one goes on serving; it is tried again `max_retries` times, then left until
its folder is gone. States and their order are TF Serving's (`ServableState`).
"""

import enum
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import grpc

from serving.server.errors import ModelError, NotFoundError, RequestError

log = logging.getLogger(__name__)

_SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
_MAX_VERSION = 2**63 - 1


class Servable(Protocol):
    """A loaded model, as far as the store is concerned."""

    def close(self) -> None:
        """Frees the model."""


class State(enum.IntEnum):
    """The life of a version; the numbers are `ModelVersionStatus.State` of the protocol."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """What GetModelStatus tells of a version; `error` is why it could not be loaded, or None."""

    version: int
    state: State
    error: RequestError | None = None


@dataclass(frozen=True)
class LoadPolicy:
    """When to look for versions and how often to try to load them.

    Args:
        poll_wait_s: seconds between two looks at the base path; 0 looks once, less never.
        max_retries: how many times a load that failed is tried again.
        retry_wait_s: seconds between two tries.
    """

    poll_wait_s: float = 1.0
    max_retries: int = 5
    retry_wait_s: float = 60.0


T = TypeVar("T", bound=Servable)


@dataclass
class _Version(Generic[T]):
    number: int
    path: Path
    state: State = State.START
    error: RequestError | None = None
    servable: T | None = None
    leases: int = 0
    tries: int = 0
    next_try: float = 0.0

    def status(self) -> VersionStatus:
        return VersionStatus(self.number, self.state, self.error)


@dataclass(frozen=True)
class Lease(Generic[T]):
    """A loaded version that stays loaded while the lease is held."""

    version: int
    servable: T


class ModelStore(Generic[T]):
    """Keeps the newest good version of one model loaded.

    Args:
        name: the model's name, for messages.
        base_path: the folder of version folders; it may appear later.
        load: loads the servable in a version's folder; what it raises ends that version.
        policy: when to look and how often to try.
    """

    def __init__(
        self,
        name: str,
        base_path: Path,
        load: Callable[[Path], T],
        policy: LoadPolicy | None = None,
    ) -> None:
        self.name = name
        self._base_path = base_path
        self._load = load
        self._policy = policy or LoadPolicy()
        # Guards the versions; never held while a model loads, runs or closes.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._versions: dict[int, _Version[T]] = {}
        self._serving: _Version[T] | None = None  # the newest AVAILABLE one
        self._wanted: list[int] = []
        self._wake = threading.Event()
        self._stopping = False
        self._last_complaint = ""
        self._thread = threading.Thread(target=self._run, name=f"model-{name}", daemon=True)

    def start(self) -> None:
        """Starts looking for versions, in a thread of its own."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Unloads everything; False if a load or a request held it up for `timeout_s` seconds."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @contextmanager
    def lease(self, version: int | None = None) -> Iterator[Lease[T]]:
        """Holds a loaded version: `version`, or the newest one where it is None.

        Raises:
            NotFoundError: that version, or any, is not available.
        """
        with self._lock:
            held = self._serving if version is None else self._versions.get(version)
            if held is None or held.state is not State.AVAILABLE or held.servable is None:
                which = (
                    f"Latest({self.name})"
                    if version is None
                    else f"Specific({self.name}, {version})"
                )
                raise NotFoundError(f"Servable not found for request: {which}")
            held.leases += 1
        try:
            yield Lease(held.number, held.servable)
        finally:
            with self._lock:
                held.leases -= 1
                drained = held.leases == 0 and held.state is State.UNLOADING
            if drained:
                self._wake.set()

    def statuses(self) -> list[VersionStatus]:
        """Every version that was ever wanted, newest first."""
        with self._lock:
            return [self._versions[n].status() for n in sorted(self._versions, reverse=True)]

    def wait_for_outcome(self, timeout_s: float) -> VersionStatus | None:
        """Waits for the first version to be available, or to have failed for good.

        Returns:
            Its status, or None if `timeout_s` seconds passed without either.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._outcome() is not None, timeout_s)
            return self._outcome()

    def _outcome(self) -> VersionStatus | None:
        if self._serving is not None:
            return self._serving.status()
        wanted = [self._versions[n] for n in self._wanted if n in self._versions]
        failed = [v for v in wanted if v.state is State.END and v.error is not None]
        return failed[-1].status() if failed else None

    # --- The thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        policy = self._policy
        next_poll = time.monotonic() if policy.poll_wait_s >= 0 else float("inf")
        while not self._stopping:
            if time.monotonic() >= next_poll:
                self._poll()
                periodic = policy.poll_wait_s > 0
                next_poll = time.monotonic() + policy.poll_wait_s if periodic else float("inf")
            self._load_due()
            self._retire()
            due = min([next_poll, *(v.next_try for v in self._loading())])
            self._wake.wait(None if due == float("inf") else max(0.0, due - time.monotonic()))
            self._wake.clear()
        self._wanted = []
        while self._retire():
            self._wake.wait()
            self._wake.clear()

    def _poll(self) -> None:
        """Looks at the base path; what cannot be read leaves everything as it is."""
        try:
            found = dict(_complete_versions(self._base_path))
        except FileNotFoundError:
            self._complain(f"Could not find base path {self._base_path} for servable {self.name}")
            return
        except OSError as error:
            self._complain(f"Could not read base path {self._base_path}: {error}")
            return
        if found:
            self._last_complaint = ""
        else:
            self._complain(
                f"No versions of servable {self.name} found under base path {self._base_path}. Did "
                "you forget to name your leaf directory as a number (eg. '/1/')?"
            )
        with self._lock:
            previous, self._wanted = self._wanted, sorted(found)[-1:]
            for number in set(previous) - set(self._wanted):
                version = self._versions.get(number)
                if version is not None and version.state in (State.START, State.LOADING):
                    self._move(version, State.END)  # no more tries
            for number in self._wanted:
                version = self._versions.get(number)
                # One that failed is new only if it was gone in between.
                failed_in_place = version and version.error and number in previous
                if version is None or (version.state is State.END and not failed_in_place):
                    self._versions[number] = _Version(number, found[number])

    def _loading(self) -> list[_Version[T]]:
        return [v for v in self._versions.values() if v.state in (State.START, State.LOADING)]

    def _load_due(self) -> None:
        for version in self._loading():
            if version.next_try <= time.monotonic() and not self._stopping:
                self._try_to_load(version)

    def _try_to_load(self, version: _Version[T]) -> None:
        with self._lock:
            self._move(version, State.LOADING)
        version.tries += 1
        started = time.monotonic()
        try:
            servable = self._load(version.path)
        except RequestError as error:
            self._failed(version, error)
        except Exception as error:
            log.exception("Loading %s version %d", self.name, version.number)
            text = f"{type(error).__name__}: {error}"
            self._failed(version, ModelError(grpc.StatusCode.UNKNOWN, text))
        else:
            with self._lock:
                version.servable = servable
                version.error = None
                self._move(version, State.AVAILABLE)
            seconds = time.monotonic() - started
            log.info("Loaded %s version %d in %.1f s", self.name, version.number, seconds)

    def _failed(self, version: _Version[T], error: RequestError) -> None:
        retries_left = self._policy.max_retries - version.tries + 1
        log.error(
            "Servable {name: %s version: %d} cannot be loaded: %s%s",
            self.name,
            version.number,
            error,
            f"; {retries_left} more tries" if retries_left > 0 else "",
        )
        with self._lock:
            version.error = error
            version.next_try = time.monotonic() + self._policy.retry_wait_s
            if retries_left <= 0:
                self._move(version, State.END)

    def _retire(self) -> bool:
        """Unloads what is not wanted, once what is wanted serves; True if any is still in use."""
        with self._lock:
            ready = not self._wanted or any(
                self._versions[n].state is State.AVAILABLE for n in self._wanted
            )
            for version in self._versions.values():
                unwanted = version.number not in self._wanted
                if ready and unwanted and version.state is State.AVAILABLE:
                    self._move(version, State.UNLOADING)
            unloading = [v for v in self._versions.values() if v.state is State.UNLOADING]
            drained = [v for v in unloading if v.leases == 0]
        for version in drained:
            servable, version.servable = version.servable, None
            if servable is not None:
                servable.close()
            with self._lock:
                self._move(version, State.END)
            log.info("Unloaded %s version %d", self.name, version.number)
        return len(drained) < len(unloading)

    def _move(self, version: _Version[T], state: State) -> None:
        """Changes a state; the lock is held."""
        version.state = state
        available = [n for n, v in self._versions.items() if v.state is State.AVAILABLE]
        self._serving = self._versions[max(available)] if available else None
        self._changed.notify_all()

    def _complain(self, text: str) -> None:
        if text != self._last_complaint:
            log.warning(text)
        self._last_complaint = text


def not_found(name: str, version: int | None) -> NotFoundError:
    """TF Serving's answer where a model, or the version asked for, is not loaded."""
    which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
    return NotFoundError(f"Servable not found for request: {which}")


def _complete_versions(base_path: Path) -> Iterator[tuple[int, Path]]:
    """The versions that can be loaded; of two spellings of a number (7, 007) the shorter one."""
    for path in sorted(base_path.iterdir(), key=lambda path: (-len(path.name), path.name)):
        if re.fullmatch("[0-9]+", path.name) and int(path.name) <= _MAX_VERSION and _complete(path):
            yield int(path.name), path


def _complete(path: Path) -> bool:
    try:
        return any((path / name).is_file() for name in _SAVED_MODEL_FILES)
    except OSError:  # a folder that may not be read: loading it says why
        return True
