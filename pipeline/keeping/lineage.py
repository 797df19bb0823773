"""What ML Metadata says of artifacts: which run made or used them, and what they were made from."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.environment import Workspace
from pipeline.keeping import metadata_file

_LIVE = (pb.Artifact.UNKNOWN, pb.Artifact.LIVE)
_OUTPUTS = (pb.Event.OUTPUT, pb.Event.DECLARED_OUTPUT)
_INPUTS = (pb.Event.INPUT, pb.Event.DECLARED_INPUT)
_OTHER_MODELS = ("baseline_model", "base_model")  # of the Evaluator and the Trainer


@dataclass(frozen=True)
class Made:
    """An artifact: where it lies in the workspace, and what it is."""

    id: int
    path: Path  # artifacts/<data set>/<component>/<output>/<execution>
    type: str
    live: bool  # else it was pruned, and no run uses what may be left of it
    numbers: dict[str, int]  # its custom properties that are numbers
    words: dict[str, str]

    @property
    def pipeline(self) -> str:
        """The data set's name."""
        return self.path.parts[1]

    @property
    def component(self) -> str:
        """The id of the component that made it."""
        return self.path.parts[2]

    @property
    def execution(self) -> int:
        """The execution that made it; others may have reused it."""
        return int(self.path.name)


@dataclass(frozen=True)
class Did:
    """What a component read and made in a run: artifacts, by their ids."""

    component: str
    read: tuple[int, ...]
    made: tuple[int, ...]


class Lineage:
    """The metadata of a workspace, read once."""

    def __init__(self, workspace: Workspace) -> None:
        """Reads them; a workspace without metadata has no artifacts.

        Raises:
            MetadataError: they cannot be used.
        """
        metadata_file.check(workspace)
        self._root, self._path = workspace.root, workspace.metadata
        self.artifacts: dict[int, Made] = {}
        self.executions: set[int] = set()
        self.nodes: set[str] = set()  # `<data set>.<component>`
        self._events: list[pb.Event] = []
        self._run_of: dict[int, set[str]] = {}  # runs by execution
        if self._path.exists() and self._path.stat().st_size:
            self._read(_open(self._path, read_only=True))

    def of_runs(self, runs: Collection[str]) -> set[int]:
        """The artifacts that runs have made, reused or read."""
        wanted = set(runs)
        return {
            event.artifact_id
            for event in self._events
            if self._run_of.get(event.execution_id, set()) & wanted
        }

    def executions_of(self, runs: Collection[str]) -> set[int]:
        """The executions of runs, failed ones among them."""
        wanted = set(runs)
        return {execution for execution, of in self._run_of.items() if of & wanted}

    def of_versions(self, pipeline: str, versions: Collection[int]) -> set[int]:
        """What Pusher recorded of versions that it has pushed."""
        names = {str(version) for version in versions}
        return {
            made.id
            for made in self.artifacts.values()
            if made.pipeline == pipeline and made.words.get("pushed_version") in names
        }

    def models_of(self, pushes: Collection[int]) -> set[int]:
        """The models that were pushed, by what Pusher recorded of that."""
        pushing = {self.artifacts[push].execution for push in pushes}
        return {
            event.artifact_id
            for event in self._events
            if event.execution_id in pushing
            and event.type in _INPUTS
            and event.path.steps[0].key == "model"
        } & self.artifacts.keys()

    def pushes_of(self, model: int) -> set[int]:
        """What Pusher recorded of versions of a model."""
        pushes = (made for made in self.artifacts.values() if made.words.get("pushed_version"))
        return {push.id for push in pushes if model in self.models_of([push.id])}

    def later_models(self, models: Collection[int]) -> dict[int, str]:
        """The models that came of others.

        Args:
            models: artifacts of the type Model.

        Returns:
            Of each its way: `base_model` where its training began with one of them,
            `baseline_model` where it was only compared with one.
        """
        reading = {
            event.execution_id: event.path.steps[0].key
            for event in self._events
            if event.artifact_id in models
            and event.type in _INPUTS
            and event.path.steps[0].key in _OTHER_MODELS
        }
        later: dict[int, str] = {}
        for event in self._events:
            made = self.artifacts.get(event.artifact_id)
            way = reading.get(event.execution_id)
            if made is None or way is None or made.type != "Model" or made.id in models:
                continue
            # Trainer makes its model; of the Evaluator's inputs one is the candidate.
            is_later = event.type in _OUTPUTS or event.path.steps[0].key == "model"
            if is_later and later.get(made.id) != "base_model":
                later[made.id] = way
        return later

    def run_of(self, made: Made) -> str | None:
        """The run that made an artifact: of those that have its execution, the first."""
        return min(self._run_of.get(made.execution, ()), default=None)

    def baselines(self) -> set[int]:
        """The latest blessed model of each data set that is there, with its blessing."""
        found: dict[str, set[int]] = {}
        blessings = [made for made in self.artifacts.values() if made.type == "ModelBlessing"]
        for blessing in sorted(blessings, key=lambda made: made.id, reverse=True):
            model = self.artifacts.get(blessing.numbers.get("current_model_id", 0))
            if model is None or not model.live or blessing.numbers.get("blessed") != 1:
                continue
            if (self._root / model.path).is_dir():
                found.setdefault(model.pipeline, {model.id, blessing.id})
        return set().union(*found.values())

    def upstream(self, artifacts: Iterable[int]) -> set[int]:
        """The artifacts, and all that they were made from.

        What a component has made beside an artifact counts as well, since TFX reuses all of it or
        nothing. A model that another was compared with, or started from, does not.
        """
        made_by: dict[int, set[int]] = {}
        read_by: dict[int, set[int]] = {}
        for event in self._events:
            if event.type in _OUTPUTS:
                made_by.setdefault(event.execution_id, set()).add(event.artifact_id)
            elif event.type in _INPUTS and event.path.steps[0].key not in _OTHER_MODELS:
                read_by.setdefault(event.execution_id, set()).add(event.artifact_id)
        found: set[int] = set()
        left = set(artifacts)
        while left:
            found |= left
            makers = {self.artifacts[artifact].execution for artifact in left}
            around = (of.get(maker, set()) for maker in makers for of in (made_by, read_by))
            left = set().union(*around) & self.artifacts.keys() - found
        return found

    def steps_of(self, run: str) -> list[Did]:
        """What the components of a run did, in the order in which they ran."""
        if not self._path.exists() or not self._path.stat().st_size:
            return []
        store = _open(self._path, read_only=True)
        found = []
        for execution in sorted(self.executions_of([run])):
            names = [
                context.name.rpartition(".")[2]
                for context in store.get_contexts_by_execution(execution)
                if context.type == "node"
            ]
            events = [event for event in self._events if event.execution_id == execution]
            found += [
                Did(
                    name,
                    tuple(event.artifact_id for event in events if event.type in _INPUTS),
                    tuple(event.artifact_id for event in events if event.type in _OUTPUTS),
                )
                for name in names
            ]
        return found

    def mark_deleted(self, artifacts: Collection[int]) -> None:
        """Tells the metadata that artifacts are gone, so that no run reuses them."""
        if not artifacts:
            return
        store = _open(self._path, read_only=False)
        found = store.get_artifacts_by_id(list(artifacts))
        for artifact in found:
            artifact.state = pb.Artifact.DELETED
        store.put_artifacts(found)

    def _read(self, store: mlmd.MetadataStore) -> None:
        types = {kind.id: kind.name for kind in store.get_artifact_types()}
        for artifact in store.get_artifacts():
            path = metadata_file.inside(artifact.uri)
            if path is not None and path.name.isdecimal():
                values = artifact.custom_properties
                self.artifacts[artifact.id] = Made(
                    id=artifact.id,
                    path=path,
                    type=types[artifact.type_id],
                    live=artifact.state in _LIVE,
                    numbers={name: value.int_value for name, value in values.items()},
                    words={name: value.string_value for name, value in values.items()},
                )
        executions = [execution.id for execution in store.get_executions()]
        self.executions = set(executions)
        if executions:
            self._events = list(store.get_events_by_execution_ids(executions))
        self.nodes = {context.name for context in store.get_contexts_by_type("node")}
        for run in store.get_contexts_by_type("pipeline_run"):
            for execution in store.get_executions_by_context(run.id):
                self._run_of.setdefault(execution.id, set()).add(run.name)


def _open(path: Path, *, read_only: bool) -> mlmd.MetadataStore:
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    config.sqlite.connection_mode = (
        pb.SqliteMetadataSourceConfig.READONLY
        if read_only
        else pb.SqliteMetadataSourceConfig.READWRITE
    )
    return mlmd.MetadataStore(config)
