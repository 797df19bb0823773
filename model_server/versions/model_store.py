"""The versions of one model: loaded, leased to requests, unloaded.

    want({version: folder}) -> START -> LOADING -> AVAILABLE ... lease ... -> UNLOADING -> END

Each version lives in a thread of its own, from START to END, so that nothing that hangs - a load,
a request, an unload - holds up more than its own version. (Loads of one model take turns, the
highest version first.) An unwanted version goes by TF Serving's `AvailabilityPreservingPolicy`:
once a wanted one is available, or nothing is wanted any more; and only when its last request is
answered, so that a reload never fails a request.

A version that cannot be loaded is tried again `max_retries` times, and before that for as long as
it is still being copied. Then it ends with its error, while an older one goes on serving, and
begins a new life only when it was not wanted for a while and then is. States are TF Serving's
(`ServableState`).
"""

import enum
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from model_server.errors import ModelError, NotFoundError, RequestError
from model_server.servable import Lease, Servable
from model_server.versions.version_folders import is_changing

log = logging.getLogger(__name__)

_COPYING_WAIT_S = 0.5  # between two tries of what is still being copied


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
        poll_wait_s: seconds between two looks at the base paths; 0 looks once after each change
            of the configuration, less never.
        max_retries: how many times a load that failed is tried again.
        retry_wait_s: seconds between two tries.
        grace_s: a version whose folder changed during the last so many seconds is still being
            copied. It is tried again until it is whole, and that counts as no retry.
    """

    poll_wait_s: float = 1.0
    max_retries: int = 5
    retry_wait_s: float = 60.0
    grace_s: float = 0.0


@dataclass(eq=False)
class _Version:
    number: int
    path: Path
    wanted: bool = True
    waits_to_load: bool = True
    state: State = State.START
    error: RequestError | None = None
    servable: Servable | None = None
    leases: int = 0

    def status(self) -> VersionStatus:
        ended = self.state is State.END
        return VersionStatus(self.number, self.state, self.error if ended else None)


class ModelStore:
    """Keeps the wanted versions of one model loaded.

    Args:
        name: the model's name, for messages.
        load: loads the servable in a version's folder; what it raises ends that version.
        policy: how often to try.
        changed: guards the versions, and is notified when a state changes; never held while a
            model loads, runs or closes. Stores may share it.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[Path], Servable],
        policy: LoadPolicy | None = None,
        changed: threading.Condition | None = None,
    ) -> None:
        self.name = name
        self._load = load
        self._policy = policy or LoadPolicy()
        self._changed = changed or threading.Condition()
        self._versions: dict[int, _Version] = {}
        self._folders: Mapping[int, Path] = {}  # of the versions that are wanted
        self._loading: _Version | None = None
        self._newest: _Version | None = None  # of those that are AVAILABLE

    def want(self, folders: Mapping[int, Path]) -> None:
        """Serves these versions, and no others once one of these is available.

        Versions are known by their number: one that is loaded stays, whatever its folder is now.

        Args:
            folders: the folder of each version; none at all unloads the model.
        """
        with self._changed:
            self._folders = dict(folders)
            for version in self._versions.values():
                if version.number not in folders:
                    version.wanted = False
                elif version.state is State.AVAILABLE:  # others end first, then begin anew
                    version.wanted = True
            for number in folders:
                self._begin(number)
            self._changed.notify_all()

    @contextmanager
    def lease(self, version: int | None = None) -> Iterator[Lease]:
        """Holds a loaded version: `version`, or the newest one where it is None.

        Raises:
            NotFoundError: that version, or any, is not available.
        """
        with self._changed:
            held = self._newest if version is None else self._versions.get(version)
            if held is None or held.state is not State.AVAILABLE or held.servable is None:
                raise not_found(self.name, version)
            held.leases += 1
        try:
            yield Lease(held.number, held.servable)
        finally:
            with self._changed:
                held.leases -= 1
                if held.leases == 0 and held.state is State.UNLOADING:
                    self._changed.notify_all()

    def wanted(self) -> set[int]:
        """The versions last asked for."""
        with self._changed:
            return set(self._folders)

    def statuses(self) -> list[VersionStatus]:
        """Every version that was ever wanted, newest first."""
        with self._changed:
            return [self._versions[n].status() for n in sorted(self._versions, reverse=True)]

    def outcome(self) -> VersionStatus | None:
        """The status of the highest wanted version that is AVAILABLE or failed, if one is."""
        with self._changed:
            done = [
                version
                for version in self._versions.values()
                if version.wanted and version.state in (State.AVAILABLE, State.END)
            ]
            return max(done, key=lambda version: version.number).status() if done else None

    def is_unloaded(self) -> bool:
        """Whether every version has ended."""
        with self._changed:
            return all(version.state is State.END for version in self._versions.values())

    # --- The life of a version -------------------------------------------------------------------

    def _begin(self, number: int) -> None:
        """Begins a life where there is none; the lock is held."""
        last = self._versions.get(number)
        if last is None or (last.state is State.END and not last.wanted):
            version = _Version(number, self._folders[number])
            self._versions[number] = version
            name = f"{self.name}-{number}"
            threading.Thread(target=self._live, args=[version], name=name, daemon=True).start()

    def _live(self, version: _Version) -> None:
        version.servable = self._load_with_retries(version)
        if version.servable is not None:
            with self._changed:
                version.wanted = version.number in self._folders
                self._move(version, State.AVAILABLE)
                self._changed.wait_for(lambda: self._may_go(version))
                self._move(version, State.UNLOADING)
                self._changed.wait_for(lambda: version.leases == 0)
                servable, version.servable = version.servable, None
            try:
                servable.close()
            except Exception:
                log.exception("Unloading %s", self._describe(version))
            del servable
            log.info("Done unloading servable version %s", self._describe(version))
        with self._changed:
            self._move(version, State.END)
            if version.number in self._folders:
                self._begin(version.number)

    def _load_with_retries(self, version: _Version) -> Servable | None:
        """The servable, or None where it failed (`version.error` says why) or is not wanted."""
        retries_left = max(self._policy.max_retries, 0)
        while self._take_turn(version):
            started = time.monotonic()
            try:
                self._check_folder(version)
                self._move(version, State.LOADING)
                servable = self._load(version.path)
            except RequestError as error:
                # Without its traceback, whose frames would keep what is half loaded in memory.
                version.error = ModelError(error.code, str(error))
            except Exception as error:
                log.exception("Loading %s", self._describe(version))
                text = f"{type(error).__name__}: {error}"
                version.error = ModelError(grpc.StatusCode.UNKNOWN, text)
            else:
                version.error = None
                log.info(
                    "Successfully loaded servable version %s in %.1f s",
                    self._describe(version),
                    time.monotonic() - started,
                )
                return servable
            finally:
                with self._changed:
                    self._loading = None
                    self._changed.notify_all()
            if is_changing(version.path, self._policy.grace_s):
                wait_s, then = _COPYING_WAIT_S, "; it is still being copied"
            elif retries_left:
                wait_s, then = self._policy.retry_wait_s, f"; {retries_left} more tries"
                retries_left -= 1
            else:
                wait_s, then = None, ""
            log.error(
                "Loading servable: %s failed: %s: %s%s",
                self._describe(version),
                version.error.code.name,
                version.error,
                then,
            )
            if wait_s is None:
                break
            with self._changed:
                self._changed.wait_for(lambda: not version.wanted, wait_s)
                version.waits_to_load = True
        return None

    def _take_turn(self, version: _Version) -> bool:
        """Waits until no other version of this model loads; False if it is wanted no more."""

        def is_next() -> bool:
            waiting = [v.number for v in self._versions.values() if v.wanted and v.waits_to_load]
            return not version.wanted or (self._loading is None and version.number == max(waiting))

        with self._changed:
            self._changed.wait_for(is_next)
            version.waits_to_load = False
            if version.wanted:
                self._loading = version
            return version.wanted

    def _check_folder(self, version: _Version) -> None:
        """Fails where TF Serving cannot tell how large the version is."""
        try:
            next(version.path.iterdir(), None)
        except OSError as error:
            code, text = grpc.StatusCode.UNKNOWN, f"{version.path}; {error.strerror}"
            if isinstance(error, FileNotFoundError):
                code, text = grpc.StatusCode.NOT_FOUND, f"{version.path} not found"
            elif isinstance(error, NotADirectoryError):
                code = grpc.StatusCode.FAILED_PRECONDITION
            elif isinstance(error, PermissionError):
                code = grpc.StatusCode.PERMISSION_DENIED
            raise ModelError(
                code,
                "Error while attempting to reserve resources to load servable "
                f"{self._describe(version)}: {text}",
            ) from error

    def _may_go(self, version: _Version) -> bool:
        """Whether an available version is to be unloaded now; the lock is held."""
        available = [v for v in self._versions.values() if v.state is State.AVAILABLE]
        unwanted = [v for v in available if not v.wanted]
        return (
            not version.wanted
            and version.number == min(v.number for v in unwanted)
            and (not self._folders or len(unwanted) < len(available) or len(unwanted) > 1)
        )

    def _move(self, version: _Version, state: State) -> None:
        with self._changed:
            version.state = state
            available = [v for v in self._versions.values() if v.state is State.AVAILABLE]
            self._newest = max(available, key=lambda v: v.number, default=None)
            self._changed.notify_all()

    def _describe(self, version: _Version) -> str:
        return f"{{name: {self.name} version: {version.number}}}"


def not_found(name: str, version: int | None) -> NotFoundError:
    """TF Serving's answer where a model, or the version asked for, is not loaded."""
    which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
    return NotFoundError(f"Servable not found for request: {which}")
