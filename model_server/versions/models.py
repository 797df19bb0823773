"""The models a server serves: which they are, where their versions lie, and who gets which version.

    ModelServerConfig -> reconfigure() -> poll of all base paths -> ModelStore.want() -> versions
    ModelSpec -> lease() -> label, number or newest -> ModelStore.lease()

The checks, their order and their words are those of TF Serving's `ServerCore`. One thread looks at
the base paths of all models. As in TF Serving, one that is missing keeps the versions of every
model as they are: a disk that comes unmounted unloads nothing.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import grpc

from model_server.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    ModelError,
    UnavailableError,
)
from model_server.servable import Lease, Servable
from model_server.versions import model_configs
from model_server.versions.model_store import (
    LoadPolicy,
    ModelStore,
    State,
    VersionStatus,
    not_found,
)
from model_server.versions.version_folders import BasePathError, wanted_versions
from signs import protos

log = logging.getLogger(__name__)

# A wait ends this soon after the server was told to stop.
_WAIT_STEP_S = 0.2


class Models:
    """The models of a server, by name.

    Args:
        load: loads the servable of (model name, version folder); what it raises ends that version.
        policy: when to look for versions and how often to try to load them.
        allow_labels_for_unavailable: a new label may name a version that is not available.
        stopping: set when the server begins to stop; ends every wait.
    """

    def __init__(
        self,
        load: Callable[[str, Path], Servable],
        policy: LoadPolicy | None = None,
        *,
        allow_labels_for_unavailable: bool = False,
        stopping: threading.Event | None = None,
    ) -> None:
        self._load = load
        self._policy = policy or LoadPolicy()
        self._allow_labels_for_unavailable = allow_labels_for_unavailable
        self._stopping = stopping or threading.Event()
        # Guards everything below and all stores' versions.
        self._changed = threading.Condition()
        self._stores: dict[str, ModelStore] = {}  # also those that are served no more
        self._configs: Mapping[str, protos.ModelConfig] | None = None  # None before the first
        self._labels: Mapping[str, Mapping[str, int]] | None = None
        self._awaited: set[str] = set()  # added, and without an outcome yet
        self._look_now = threading.Event()
        self._stopped = False
        self._warnings: set[str] = set()

    def start(self) -> None:
        """Starts looking for versions, in a thread of its own."""
        if self._policy.poll_wait_s >= 0:
            threading.Thread(target=self._poll, name="poll", daemon=True).start()

    def stop(self, timeout_s: float) -> bool:
        """Unloads everything; False if a load or a request held it up for `timeout_s` seconds."""
        self._stopping.set()
        with self._changed:
            self._stopped = True
            self._look_now.set()
            for store in self._stores.values():
                store.want({})
            return self._changed.wait_for(
                lambda: all(store.is_unloaded() for store in self._stores.values()), timeout_s
            )

    def get(self, name: str) -> ModelStore | None:
        """The store of a model that is served or once was; None if there never was one."""
        return self._stores.get(name)

    def newest(self) -> dict[str, int]:
        """The newest version that is AVAILABLE, of each model that has one."""
        with self._changed:
            stores = list(self._stores.values())
        available = {
            store.name: [one.version for one in store.statuses() if one.state is State.AVAILABLE]
            for store in stores
        }
        return {name: max(versions) for name, versions in available.items() if versions}

    def is_available(self, name: str) -> bool | None:
        """Whether a version of the model is AVAILABLE; None where there never was such a model."""
        store = self._stores.get(name)
        if store is None:
            return None
        return any(status.state is State.AVAILABLE for status in store.statuses())

    def lease(self, spec: protos.ModelSpec) -> AbstractContextManager[Lease]:
        """Holds the version that a ModelSpec asks for.

        Raises:
            InvalidArgumentError: no name, or a label that is not assigned.
            UnavailableError: a label, and the server never had a list of models.
            NotFoundError: the model or the version is not loaded.
        """
        if not spec.name:
            raise InvalidArgumentError("ModelSpec has no name specified.")
        version = None
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            version = spec.version.value
        elif choice == "version_label":
            version = self._labelled(spec.name, spec.version_label)
        store = self._stores.get(spec.name)
        if store is None:
            raise not_found(spec.name, version)
        return store.lease(version)

    def _labelled(self, name: str, label: str) -> int:
        if self._labels is None:
            raise UnavailableError(f"Model labels does not init yet.{label}")
        version = self._labels.get(name, {}).get(label)
        if version is None:
            raise InvalidArgumentError(f"Unrecognized servable version label: {label}")
        return version

    # --- Configuration ---------------------------------------------------------------------------

    def reconfigure(self, config: protos.ModelServerConfig, deadline: float | None = None) -> None:
        """Serves the models of a list, with their labels, and no others.

        Waits until every model that is new has a version that is available or has failed. Nothing
        else waits meanwhile: another call may go ahead, and may take away what this one waits for.
        A config that is refused changes nothing, but one refused for a platform it asks for has
        assigned its labels.

        Args:
            config: a ModelServerConfig.
            deadline: when to stop waiting, in seconds of `time.monotonic`. The models stay
                configured, and are served when they are there.

        Raises:
            RequestError: with TF Serving's status and text; UNKNOWN where a new model failed,
                DEADLINE_EXCEEDED and UNAVAILABLE where the wait ended without an outcome.
        """
        if config.WhichOneof("config") is None and self._configs is None:
            log.info("Taking no action for empty config.")
            return
        models = list(config.model_config_list.config)
        with self._changed:
            # How those who asked before there was any model are told of one that failed.
            noun = "servable" if self._configs is None else "model"
            self._configure(config, models)
            awaited = sorted(self._awaited)
        self._look_now.set()
        self._wait_for_outcomes(awaited, deadline, noun)
        model_configs.check_logging(models)

    def _configure(
        self, config: protos.ModelServerConfig, models: Iterable[protos.ModelConfig]
    ) -> None:
        """Everything that takes no time; the lock is held."""
        served = self._configs or {}
        model_configs.check_kind(config, is_first=self._configs is None)
        model_configs.check_list(models)
        model_configs.check_same_platforms(models, served)
        self._labels = self._checked_labels(models)
        model_configs.check_platforms(models)
        self._configs = {model.name: model for model in models}
        for name in served.keys() - self._configs.keys():
            self._stores[name].want({})
        added = self._configs.keys() - served.keys()
        self._awaited = (self._awaited & self._configs.keys()) | added
        for name in added - self._stores.keys():
            load = partial(self._load, name)
            self._stores[name] = ModelStore(name, load, self._policy, self._changed)

    def _checked_labels(self, models: Iterable[protos.ModelConfig]) -> dict[str, dict[str, int]]:
        labels: dict[str, dict[str, int]] = {}
        for model in models:
            old = (self._labels or {}).get(model.name, {})
            store = self._stores.get(model.name)
            statuses = store.statuses() if store else []
            available = {s.version for s in statuses if s.state is State.AVAILABLE}
            for label, version in model.version_labels.items():
                moves = label in old and old[label] != version
                unchecked = self._allow_labels_for_unavailable and not moves
                if version not in available and not unchecked:
                    raise FailedPreconditionError(
                        f"Request to assign label to version {version} of model {model.name}, "
                        "which is not currently available for inference"
                    )
            labels[model.name] = dict(model.version_labels)
        return labels

    def _wait_for_outcomes(self, names: list[str], deadline: float | None, noun: str) -> None:
        def pending() -> list[str]:
            """Those without an outcome; what another call took away is not waited for."""
            return [name for name in names if name in self._awaited and not outcome(name)]

        def outcome(name: str) -> VersionStatus | None:
            return self._stores[name].outcome()

        with self._changed:
            while not self._changed.wait_for(lambda: not pending(), _WAIT_STEP_S):
                if self._stopping.is_set():
                    raise UnavailableError("The server is stopping.")
                if deadline is not None and deadline - time.monotonic() < _WAIT_STEP_S:
                    raise DeadlineExceededError(
                        f"No version became available of: {', '.join(pending())}"
                    )
            outcomes = {name: outcome(name) for name in names}
            self._awaited -= set(names)
        failed = [(name, s) for name, s in outcomes.items() if s and s.state is State.END]
        if failed:
            reasons = "".join(
                f"{{{{name: {name} version: {status.version}}} due to error: "
                f"{status.error.code.name}: {status.error}}}, "
                for name, status in failed
                if status.error
            )
            raise ModelError(
                grpc.StatusCode.UNKNOWN,
                f"{len(failed)} {noun}(s) did not become available: {{{reasons}}}",
            )

    # --- The poll of the base paths --------------------------------------------------------------

    def _poll(self) -> None:
        wait_s = self._policy.poll_wait_s
        while not self._stopped:
            next_look = time.monotonic() + wait_s
            self._look_now.clear()
            try:
                self._look()
            except Exception:  # none is known, but without polls nothing would ever change
                log.exception("Looking for versions")
            self._look_now.wait(max(0.0, next_look - time.monotonic()) if wait_s else None)

    def _look(self) -> None:
        """Looks at all base paths, then tells all stores; one that cannot be read stops that."""
        configs = self._configs
        if configs is None:
            return
        warnings: list[str] = []
        # Who looks only once would miss what is left alone.
        grace_s = self._policy.grace_s if self._policy.poll_wait_s else 0.0
        try:
            found = {
                name: wanted_versions(config, self._stores[name].wanted(), warnings.append, grace_s)
                for name, config in configs.items()
            }
        except BasePathError as error:
            found = {}
            warnings.append(
                f"FileSystemStoragePathSource encountered a filesystem access error: {error}"
            )
        # Each is told once, not at every look.
        for warning in warnings:
            if warning not in self._warnings:
                log.warning(warning)
        self._warnings = set(warnings)
        with self._changed:
            if self._stopped or configs is not self._configs:
                return  # of another list of models: the next look is due at once
            for name, folders in found.items():
                self._stores[name].want(folders)
