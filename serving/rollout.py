"""Which versions of a model are served, and which of them is called `stable` and `canary`.

    promote, withdraw, rollback -> {serving root}/{model}.config -> polled by a server -> labels

The file is TF Serving's ModelServerConfig in text format, and any TF Serving may poll it. Once a
version is stable, only the stable one and the canary are loaded: a version that is pushed later
serves nobody before it is promoted. (A request that names neither version nor label gets the
highest number that is loaded; that is TF Serving's rule.)

A server gives a label only to a version that is AVAILABLE, and looks at labels before it loads
anything. So a label moves in three writes, with waits between them, and requests find their
version loaded at every moment:

    1. load the target too   2. move the label   3. leave out what has no label

Whoever is killed in between leaves a file that works; the next promotion goes on from it.

A share of the requests goes to the canary by a hundred labels more (`signs.traffic`), which name
the one version or the other. They move with the others, all at once.
Sources: tensorflow_serving/config/model_server_config.proto, model_servers/server_core.cc.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from google.protobuf import text_format

from signs import durable, protos
from signs.errors import UserError
from signs.traffic import HUNDREDTHS, is_traffic_label, traffic_label
from signs.versions import complete_versions, version_name

STABLE, CANARY = "stable", "canary"
LABELS = (STABLE, CANARY)
_HEADER = """\
# Written by `signs promote` and `signs rollback`; a model server polls it.
# Earlier stable versions, oldest first:"""
_HISTORY = re.compile(r"^# Earlier stable versions, oldest first:([ 0-9]*)$", re.MULTILINE)
_KEPT_HISTORY = 50
# As TensorFlow writes an entry of a map, and in a line: there are a hundred of them.
_ENTRY = re.compile(r'version_labels \{\s+key: ("[^"]*")\s+value: ([0-9]+)\s+\}')


class RolloutError(UserError):
    """A label that does not move, and why; what was served is served as before."""


class BusyError(RolloutError):
    """Another move of the same model is under way."""


@dataclass(frozen=True)
class State:
    """What the file says of one model.

    Args:
        versions: those to load; none means the newest, and each newer one as it is pushed.
        labels: the version that each label names, but for the labels of the traffic.
        earlier: what `stable` named before, oldest first.
        share: hundredths of the traffic that the canary has, 0 to 100; the stable version has the
            others.
    """

    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    earlier: tuple[int, ...] = ()
    share: int = 0

    @property
    def tried(self) -> int | None:
        """The canary, where it is another version than the stable one."""
        canary = self.labels.get(CANARY)
        return None if canary == self.labels.get(STABLE) else canary

    @property
    def traffic(self) -> dict[str, int]:
        """The version that each label of the traffic names; {} before one is stable.

        The canary has the first ones, so that whoever is with it stays with it as its share grows.
        """
        if STABLE not in self.labels:
            return {}
        stable = self.labels[STABLE]
        canary = self.labels.get(CANARY, stable)
        return {
            traffic_label(hundredth): canary if hundredth < self.share else stable
            for hundredth in range(HUNDREDTHS)
        }

    def moved(self, label: str, version: int, share: int | None = None) -> "State":
        """After a promotion: `version` has the label, and only labelled versions stay.

        Args:
            label: `stable` or `canary`.
            version: what it names now.
            share: of the canary; None leaves the canary's as it is, and gives another version none.
        """
        labels = {**self.labels, label: version}
        earlier = self.earlier
        if label == STABLE:
            # A canary that is behind the stable version has nothing left to try.
            if CANARY in labels and labels[CANARY] < version:
                labels[CANARY] = version
            before = self.labels.get(STABLE)
            if before is not None and before != version:
                earlier = (*earlier, before)[-_KEPT_HISTORY:]
        return self._with(labels, earlier, share)

    def withdrawn(self) -> "State":
        """After the canary is taken back: its label is gone, and `stable` has all the traffic."""
        labels = {name: version for name, version in self.labels.items() if name != CANARY}
        return self._with(labels, self.earlier)

    def rolled_back(self, version: int) -> "State":
        """After a rollback to `version`, one of the earlier ones."""
        labels = {**self.labels, STABLE: version}
        # The version that failed serves nobody any more, and the label stays for those who ask it.
        if labels.get(CANARY) == self.labels[STABLE]:
            labels[CANARY] = version
        last = len(self.earlier) - 1 - self.earlier[::-1].index(version)
        return self._with(labels, self.earlier[:last])

    def _with(
        self, labels: Mapping[str, int], earlier: tuple[int, ...], share: int | None = None
    ) -> "State":
        canary = labels.get(CANARY)
        if share is None:
            share = self.share if canary == self.labels.get(CANARY) else 0
        return State(tuple(sorted(set(labels.values()))), labels, earlier, share)


class Server(Protocol):
    """What a move needs to know of a running server; each raises RolloutError in the end."""

    def wait_until_loaded(self, version: int) -> None:
        """Returns when the version is AVAILABLE."""

    def wait_until_labelled(self, label: str, version: int) -> None:
        """Returns when requests for the label go to the version."""


class Rollout:
    """The file of one model.

    Args:
        base_path: the model's folder of version folders; the file lies beside it and the model
            has its name.
    """

    def __init__(self, base_path: Path) -> None:
        self.base_path = base_path.resolve()
        self.model_name = self.base_path.name
        self.path = self.base_path.with_name(f"{self.model_name}.config")

    def pushed(self) -> list[int]:
        """The versions on disk that are whole, ascending."""
        return list(complete_versions(self.base_path))

    def state(self) -> State:
        """What the file says; without a file the newest version is served.

        Raises:
            RolloutError: the file cannot be read.
        """
        text, config = self._read()
        entry = next(
            (c for c in config.model_config_list.config if c.name == self.model_name), None
        )
        if entry is None:
            return State()
        history = _HISTORY.search(text)
        named = dict(sorted(entry.version_labels.items()))
        labels = {name: version for name, version in named.items() if not is_traffic_label(name)}
        traffic = [version for name, version in named.items() if is_traffic_label(name)]
        state = State(
            tuple(sorted(entry.model_version_policy.specific.versions)),
            labels,
            tuple(map(int, history[1].split())) if history else (),
        )
        return replace(state, share=sum(version == state.tried for version in traffic))

    def server_flags(self) -> list[str]:
        """What makes a model server poll the file; where none can be written, the folder.

        Raises:
            RolloutError: the file cannot be read, or the folder is missing.
        """
        try:
            with self._alone():
                self._write(self.state())  # the first time, or after the folder has moved
        except (OSError, BusyError):  # who is busy has written the file
            if not self.path.is_file():
                return [f"--model_name={self.model_name}", f"--model_base_path={self.base_path}"]
        return [
            f"--model_config_file={self.path}",
            "--model_config_file_poll_wait_seconds=1",
            # Nothing is AVAILABLE while a server starts, and its labels are given then.
            "--allow_version_labels_for_unavailable_models=true",
        ]

    def promote(
        self,
        version: int | None = None,
        label: str = STABLE,
        server: Server | None = None,
        check: Callable[[int, int], None] | None = None,
        share: int | None = None,
    ) -> State:
        """Gives a version the label.

        Args:
            version: by default the canary if it is to be stable, or to have a share; otherwise, and
                where the canary is the stable version itself, the newest.
            label: `stable` or `canary`.
            server: the one that polls the file; None if none runs.
            check: called with the version that answers now and the new one, both loaded, before
                the label moves; raises RolloutError to keep it where it is.
            share: hundredths of the traffic that the canary is to have, 0 to 100. None leaves the
                present canary's as it is, and gives another version none.

        Returns:
            What the file says now.

        Raises:
            RolloutError: no such version, no stable version for a canary to be tried beside, no
                newer one to be tried, a share of something else than a canary, another move under
                way, or what server and check say.
        """
        if share is not None and (label != CANARY or not 0 <= share <= HUNDREDTHS):
            raise RolloutError(
                f"A share is of the canary, from 0 to 100. Received: {share} of {label}"
            )
        with self._alone():
            state, pushed = self.state(), self.pushed()
            if version is None and share is not None:
                version = state.tried
            target = self._target(version, label, state, pushed)
            if share and target == state.labels.get(STABLE):
                raise RolloutError(
                    f"{version_name(target)} is stable, and has what no canary has: name another "
                    "version."
                )
            now = state.labels.get(STABLE) or max(state.versions or pushed)
            if check is not None and now == target:
                raise RolloutError(
                    f"{version_name(target)} answers already: there is nothing to compare."
                )
            # Until the labels have moved, who answers now goes on answering.
            loaded = replace(state, versions=tuple(sorted({*(state.versions or (now,)), target})))
            self._move(
                state,
                loaded,
                state.moved(label, target, share),
                server,
                None if check is None else lambda: check(now, target),
            )
            return self.state()

    def withdraw(self, server: Server | None = None) -> State:
        """Takes the label `canary` away: no version has it, and `stable` has all the traffic.

        Returns:
            What the file says now.

        Raises:
            RolloutError: no version has it, another move under way, or what the server says.
        """
        with self._alone():
            state = self.state()
            if CANARY not in state.labels:
                raise RolloutError(f"{self.model_name} has no canary: there is none to withdraw.")
            self._move(state, state, state.withdrawn(), server)
            return self.state()

    def rollback(self, server: Server | None = None) -> State:
        """Gives `stable` back to the version that had it before, and is still on disk.

        Returns:
            What the file says now.

        Raises:
            RolloutError: there was none, another move under way, or what the server says.
        """
        with self._alone():
            state = self.state()
            now, pushed = state.labels.get(STABLE), self.pushed()
            target = next((v for v in state.earlier[::-1] if v in pushed and v != now), None)
            if now is None or target is None:
                raise RolloutError(
                    f"{self.model_name} has no earlier stable version to go back to."
                )
            loaded = replace(state, versions=tuple(sorted({*state.versions, target})))
            self._move(state, loaded, state.rolled_back(target), server)
            return self.state()

    def _target(self, version: int | None, label: str, state: State, pushed: list[int]) -> int:
        if label not in LABELS:
            raise RolloutError(f"`label` must be stable or canary. Received: {label!r}")
        if not pushed:
            raise RolloutError(f"{self.base_path} holds no version: make one with `signs run`")
        stable = state.labels.get(STABLE)
        if label == CANARY and stable is None:
            raise RolloutError(
                "A canary is tried beside a stable version: first promote one to stable."
            )
        if version is None:
            tried = state.tried
            version = pushed[-1] if label == CANARY or tried is None else tried
            if label == CANARY and stable is not None and version <= stable:
                raise RolloutError(
                    f"{version_name(stable)} is stable, and none is newer: there is nothing to "
                    "try. Make one with `signs run`, or name an older one with --version."
                )
        if version not in pushed:
            incomplete = (self.base_path / str(version)).is_dir()
            raise RolloutError(
                f"{self.model_name} {version_name(version)} "
                + ("has no saved_model.pb" if incomplete else "does not exist")
                + f"; there are {', '.join(map(version_name, pushed))}."
            )
        return version

    def _move(
        self,
        before: State,
        loaded: State,
        after: State,
        server: Server | None,
        check: Callable[[], None] | None = None,
    ) -> None:
        """The three writes; whatever goes wrong on the way, `before` is written again."""
        if server is None:
            self._write(after)
            return
        try:
            self._write(loaded)
            for version in after.versions:
                server.wait_until_loaded(version)
            if check is not None:
                check()
            self._write(replace(after, versions=loaded.versions))
            for label, version in [*after.labels.items(), *_first_that_moves(before, after)]:
                server.wait_until_labelled(label, version)
        except BaseException:
            self._write(before)
            raise
        self._write(after)

    def _read(self) -> tuple[str, protos.ModelServerConfig]:
        try:
            text = self.path.read_text()
            return text, text_format.Parse(text, protos.ModelServerConfig())
        except FileNotFoundError:
            return "", protos.ModelServerConfig()
        except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
            raise RolloutError(f"{self.path} cannot be read: {error}") from error

    def _write(self, state: State) -> None:
        """Replaces the file at once; other models in it, and what else it says, stay."""
        old, config = self._read()
        models = config.model_config_list.config
        entry = next((c for c in models if c.name == self.model_name), None)
        if entry is None:
            entry = models.add(name=self.model_name, model_platform="tensorflow")
        entry.base_path = str(self.base_path)
        entry.ClearField("model_version_policy")
        if state.versions:
            entry.model_version_policy.specific.versions.extend(state.versions)
        entry.version_labels.clear()
        entry.version_labels.update({**state.labels, **state.traffic})
        earlier = "".join(f" {version}" for version in state.earlier)
        models_text = _ENTRY.sub(
            r"version_labels { key: \1 value: \2 }", text_format.MessageToString(config)
        )
        text = f"{_HEADER}{earlier}\n{models_text}"
        if text != old:
            durable.write_text(self.path, text)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One move at a time: who holds the model's folder."""
        if not self.base_path.is_dir():
            raise RolloutError(f"{self.base_path}: no model was pushed there.")
        try:
            with durable.lock(self.base_path, timeout_s=0):
                yield
        except durable.LockedError as error:
            raise BusyError(
                f"Another promotion or rollback of {self.model_name} is under way."
            ) from error


def _first_that_moves(before: State, after: State) -> list[tuple[str, int]]:
    """A label of the traffic that moves, if one does: a server moves all of them at once."""
    moves = (each for each in after.traffic.items() if each not in before.traffic.items())
    return list(itertools.islice(moves, 1))
