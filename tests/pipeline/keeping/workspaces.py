"""A workspace as runs leave it, made in a moment: small files, and the metadata that TFX writes."""

from dataclasses import dataclass, field
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.environment import Workspace
from tests.data.test_spans import manifest

_OUTPUT, _INPUT = pb.Event.OUTPUT, pb.Event.INPUT


def run_id(number: int) -> str:
    return f"2026112{number}-101500-ab12"


@dataclass
class Made:
    """Runs of the data set `photos`: each has a span of its own, and pushes a version.

    Run n reads span n and pushes version n; its Evaluator compares it with the model of run n - 1.
    """

    root: Path
    absolute: bool = False  # addresses of artifacts as older versions wrote them
    models: dict[int, int] = field(default_factory=dict)  # ids by run

    def __post_init__(self) -> None:
        self.workspace = Workspace(self.root)
        self.root.mkdir(parents=True, exist_ok=True)
        config = pb.ConnectionConfig()
        config.sqlite.filename_uri = str(self.workspace.metadata)
        config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = mlmd.MetadataStore(config)

    def add_run(self, number: int, *, blessed: bool = True) -> None:
        """A run that went well."""
        span = self.workspace.data / "photos" / f"span-{number}" / "v-1"
        (span / "train").mkdir(parents=True)
        (span / "manifest.json").write_text(manifest("", number).to_json())
        run = self.workspace.run_directory("photos", run_id(number))
        run.mkdir(parents=True)
        log = self.workspace.log(run_id(number))
        log.parent.mkdir(exist_ok=True)
        log.write_text("much")

        examples = self._step(number, "SpanGen", {}, "examples", "Examples", span=number, version=1)
        graph = self._step(
            number, "Transform", {"examples": examples}, "transform_graph", "TransformGraph"
        )
        model = self._step(
            number, "Trainer", {"examples": examples, "transform_graph": graph}, "model", "Model"
        )
        inputs = {"examples": examples, "model": model}
        if number - 1 in self.models:
            inputs["baseline_model"] = self.models[number - 1]
        blessing = self._step(
            number,
            "Evaluator",
            inputs,
            "blessing",
            "ModelBlessing",
            current_model_id=model,
            blessed=int(blessed),
        )
        self.models[number] = model
        if blessed:
            version = self.workspace.serving("photos") / str(number)
            version.mkdir(parents=True)
            (version / "saved_model.pb").write_bytes(b"graph")
            inputs = {"model": model, "model_blessing": blessing}
            self._step(
                number, "Pusher", inputs, "pushed_model", "PushedModel", pushed_version=str(number)
            )

    def folder(self, run: int, component: str, output: str) -> Path:
        """Where the component's output of a run lies."""
        [found] = [
            path
            for path in (self.workspace.artifacts / "photos" / component / output).iterdir()
            if (path / "of").read_text() == str(run)
        ]
        return found

    def fail(self, run: int) -> Path:
        """What a training has left that was killed: an output that no artifact names."""
        execution = self._execution(run, "Trainer")
        return self._fill(run, "Trainer", "model", execution)

    def state(self, path: Path) -> int:
        """What the metadata say of the artifact at a path."""
        inside = str(path.relative_to(self.root))
        [found] = [each for each in self.store.get_artifacts() if each.uri.endswith(inside)]
        return found.state

    def _step(
        self,
        run: int,
        component: str,
        inputs: dict[str, int],
        output: str,
        kind: str,
        **properties: int | str,
    ) -> int:
        execution = self._execution(run, component)
        folder = self._fill(run, component, output, execution)
        artifact = pb.Artifact(
            type_id=self.store.put_artifact_type(pb.ArtifactType(name=kind)),
            uri=str(folder if self.absolute else folder.relative_to(self.root)),
            state=pb.Artifact.LIVE,
        )
        for name, value in properties.items():
            where = artifact.custom_properties[name]
            if isinstance(value, int):
                where.int_value = value
            else:
                where.string_value = value
        [made] = self.store.put_artifacts([artifact])
        events = [(_INPUT, key, id) for key, id in inputs.items()] + [(_OUTPUT, output, made)]
        for event_type, key, id in events:
            event = pb.Event(artifact_id=id, execution_id=execution, type=event_type)
            event.path.steps.add().key = key
            event.path.steps.add().index = 0
            self.store.put_events([event])
        return made

    def _execution(self, run: int, component: str) -> int:
        type_id = self.store.put_execution_type(pb.ExecutionType(name=component))
        [execution] = self.store.put_executions([pb.Execution(type_id=type_id)])
        for kind, name in (("pipeline_run", run_id(run)), ("node", f"photos.{component}")):
            type_id = self.store.put_context_type(pb.ContextType(name=kind))
            context = self.store.get_context_by_type_and_name(kind, name)
            if context is None:
                [id] = self.store.put_contexts([pb.Context(type_id=type_id, name=name)])
            else:
                id = context.id
            association = pb.Association(context_id=id, execution_id=execution)
            self.store.put_attributions_and_associations([], [association])
        return execution

    def _fill(self, run: int, component: str, output: str, execution: int) -> Path:
        folder = self.workspace.artifacts / "photos" / component / output / str(execution)
        folder.mkdir(parents=True)
        (folder / "of").write_text(str(run))
        return folder
