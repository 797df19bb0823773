"""What KFP's driver and launcher hand a step, made by hand for the tests of the adapter.

The forms are those of `resolveInputs`, `provisionOutputs` (backend/src/v2/driver) and `execute`
(backend/src/v2/component/launcher_v2.go).
"""

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubeflow.step import entrypoint

RUN_ROOT = "minio://mlpipeline/v2/artifacts/signs/run-1"
_SESSION = '{"Provider":"minio","Params":{"secretName":"mlpipeline-minio-artifact"}}'


def instance_schema(title: str) -> dict[str, str]:
    return {"instanceSchema": f"title: {title}\ntype: object\n"}


@dataclass
class Launcher:
    """One pod after the other, on one set of mounts: what a step wrote, the next finds there."""

    mounts: Path
    registered: list[dict[str, Any]] = field(default_factory=list)  # as ML Metadata has them

    def local(self, uri: str) -> Path:
        scheme, _, key = uri.partition("://")
        return self.mounts / {"minio": "minio", "s3": "s3", "gs": "gcs"}[scheme] / key

    def register(self, name: str, uri: str, **metadata: Any) -> dict[str, Any]:
        """An artifact as a later step gets it: without its type, with a number for a name."""
        artifact = {
            "name": str(len(self.registered) + 1),
            "type": {"instanceSchema": ""},
            "uri": uri,
            "metadata": {"display_name": name, "store_session_info": _SESSION, **metadata},
        }
        self.registered.append(artifact)
        return artifact

    def executor_input(
        self,
        step: str,
        outputs: dict[str, dict[str, str]],
        inputs: dict[str, dict[str, Any]] | None = None,
        parameters: dict[str, Any] | None = None,
        root: str = RUN_ROOT,
    ) -> dict[str, Any]:
        task = f"{root}/{step}/1f0e"
        types = {**outputs, "executor-logs": {"schemaTitle": "system.Artifact"}}
        folder = self.local(task)
        folder.mkdir(parents=True, exist_ok=True)
        return {
            "inputs": {
                "parameterValues": parameters or {},
                "artifacts": {
                    name: {"artifacts": [artifact]} for name, artifact in (inputs or {}).items()
                },
            },
            "outputs": {
                "artifacts": {
                    name: {"artifacts": [{"name": name, "type": kind, "uri": f"{task}/{name}"}]}
                    for name, kind in types.items()
                },
                "outputFile": str(folder / "output_metadata.json"),
            },
        }

    def run(
        self, executor: str, executor_input: dict[str, Any], inputs_spec: dict[str, Any]
    ) -> dict[str, Any]:
        """Runs a step in this process.

        Returns:
            Its output artifacts by name, as later steps get them.
        """
        assert entrypoint.main(arguments(executor, executor_input, inputs_spec)) == 0
        self._lose_empty_folders()
        output = self.output(executor_input)
        return {
            name: self.register(
                name, list_["artifacts"][0]["uri"], **list_["artifacts"][0]["metadata"]
            )
            for name, list_ in output["artifacts"].items()
        }

    def _lose_empty_folders(self) -> None:
        """An object store keeps files alone; the next step's mounts are filled from there."""
        for folder, _, _ in os.walk(self.mounts, topdown=False):
            with contextlib.suppress(OSError):  # it holds something
                Path(folder).rmdir()

    def output(self, executor_input: dict[str, Any]) -> dict[str, Any]:
        return json.loads(Path(executor_input["outputs"]["outputFile"]).read_text())


def arguments(
    executor: str, executor_input: dict[str, Any], inputs_spec: dict[str, Any]
) -> list[str]:
    return [
        "--executor_class_path",
        executor,
        "--json_serialized_invocation_args",
        json.dumps(executor_input),
        "--json_serialized_inputs_spec_args",
        json.dumps(inputs_spec),
    ]


@dataclass
class Pipeline:
    """A compiled pipeline whose steps are run one by one, in the order that the test wants."""

    launcher: Launcher
    spec: dict[str, Any]  # the first document of the compiler's output
    produced: dict[str, dict[str, Any]] = field(default_factory=dict)  # artifacts by step

    def step(
        self, name: str, parameters: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """The executor, the ExecutorInput and the inputs' types of a step, ready to be run."""
        component = self.spec["components"][name]
        container = self.spec["deploymentSpec"]["executors"][f"{name}_executor"]["container"]
        args = dict(zip(container["args"][:6:2], container["args"][1:6:2], strict=True))
        task = self.spec["root"]["dag"]["tasks"][name]["inputs"]
        defaults = self.spec["root"]["inputDefinitions"]["parameters"]
        values = {
            key: value["runtimeValue"]["constant"]
            if "runtimeValue" in value
            else defaults[value["componentInputParameter"]].get("defaultValue")
            for key, value in task["parameters"].items()
        }
        inputs = {
            key: self.produced[one["taskOutputArtifact"]["producerTask"]][
                one["taskOutputArtifact"]["outputArtifactKey"]
            ]
            for key, one in task.get("artifacts", {}).items()
        }
        executor_input = self.launcher.executor_input(
            name,
            {
                key: one["artifactType"]
                for key, one in component["outputDefinitions"]["artifacts"].items()
            },
            inputs,
            {**values, **(parameters or {})},
        )
        spec = json.loads(args["--json_serialized_inputs_spec_args"])
        return args["--executor_class_path"], executor_input, spec

    def run(self, name: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """Runs a step; its output artifacts by name, as later steps get them."""
        self.produced[name] = self.launcher.run(*self.step(name, parameters))
        return self.produced[name]

    def local(self, name: str, key: str) -> Path:
        return self.launcher.local(self.produced[name][key]["uri"])
