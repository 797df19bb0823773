"""What KFP's driver does before a step: inputs, outputs' addresses, cache.

Task, what ran before it -> ExecutorInput, as the launcher gets it
(backend/src/v2/driver: container.go, resolve.go, driver.go, cache.go)
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence

from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from pydantic import JsonValue

from kubeflow.compiling.pipeline_file import KINDS, Task
from kubeflow.object_store import EXECUTOR_LOGS, in_container
from kubeflow.standin.gojson import dump_canonical, value_text
from kubeflow.standin.records import Artifact, Execution
from signs.errors import UserError


class ParameterError(UserError):
    """A parameter of the run is unknown, missing or of another type."""


class DriverError(RuntimeError):
    """A step cannot be started."""


def root_parameters(
    specs: Mapping[str, pb.ComponentInputsSpec.ParameterSpec], given: Mapping[str, JsonValue]
) -> dict[str, struct_pb2.Value]:
    """The pipeline's parameters: what is given, else the defaults.

    The checks are the API server's (backend/src/apiserver/template/v2_template.go,
    validatePipelineJobInputs).

    Raises:
        ParameterError: one is unknown, of another type, or has neither value nor default.
    """
    if unknown := sorted(set(given) - set(specs)):
        raise ParameterError(
            f"parameter(s) provided are not required by pipeline: {', '.join(unknown)}. "
            f"It has: {', '.join(sorted(specs)) or 'none'}"
        )
    values = {}
    for name, spec in sorted(specs.items()):
        if name in given:
            value = json_format.ParseDict(given[name], struct_pb2.Value())
            wanted = KINDS[_kind(spec)]
            if _type(value) != wanted:
                raise ParameterError(
                    f"input parameter {name} requires type {wanted}. Received: {given[name]!r}"
                )
            values[name] = value
        elif spec.HasField("default_value"):
            values[name] = spec.default_value
        elif not spec.is_optional:
            raise ParameterError(
                f"parameter {name} is not optional, yet has neither default value nor user "
                "provided value"
            )
    return values


def resolve_inputs(
    task: Task,
    parameters: Mapping[str, struct_pb2.Value],
    executions: Mapping[str, Execution],
) -> pb.ExecutorInput:
    """The inputs of a step, as resolve.go's resolveInputs makes them.

    Args:
        task: the step.
        parameters: the pipeline's.
        executions: of the tasks before it, by name.

    Returns:
        An ExecutorInput without outputs. Artifacts have a number for a name, and no type.

    Raises:
        DriverError: a value is missing or of another type than the component's input.
    """
    executor_input = pb.ExecutorInput()
    inputs = executor_input.inputs
    for name, source in sorted(task.spec.inputs.parameters.items()):
        inputs.parameter_values[name].CopyFrom(_resolve_parameter(source, parameters))
    for name, source in sorted(task.spec.inputs.artifacts.items()):
        output = source.task_output_artifact
        artifact = executions[output.producer_task].artifacts.get(output.output_artifact_key)
        if artifact is None:
            raise DriverError(
                f"cannot find output artifact key {output.output_artifact_key!r} in producer task "
                f"{output.producer_task!r}"
            )
        inputs.artifacts[name].artifacts.append(_runtime_artifact(artifact))
    for name, spec in sorted(task.component.input_definitions.parameters.items()):
        _check_parameter(name, spec, inputs)
    return executor_input


def provision_outputs(task: Task, run_root: str, executor_input: pb.ExecutorInput) -> None:
    """Adds the addresses of the outputs, under a folder of the attempt's own (provisionOutputs).

    Args:
        task: the step.
        run_root: the run's folder in the object store.
        executor_input: gets `outputs`.
    """
    outputs = executor_input.outputs
    task_root = f"{run_root.rstrip('/')}/{task.name}/{uuid.uuid4()}"
    definitions = task.component.output_definitions
    for name, spec in sorted(definitions.artifacts.items()):
        artifact = outputs.artifacts[name].artifacts.add(name=name, uri=f"{task_root}/{name}")
        artifact.type.CopyFrom(spec.artifact_type)
        if spec.HasField("metadata"):
            artifact.metadata.CopyFrom(spec.metadata)
    logs = outputs.artifacts[EXECUTOR_LOGS].artifacts.add(
        name=EXECUTOR_LOGS, uri=f"{task_root}/{EXECUTOR_LOGS}"
    )
    logs.type.schema_title = "system.Artifact"
    outputs.output_file = f"{in_container(task_root)}/output_metadata.json"


def fingerprint(task: Task, executor_input: pb.ExecutorInput, claims: Sequence[str]) -> str:
    """The key of the cache, SHA-256 in hexadecimal; empty where the task's caching is off.

    It covers what cacheutils/cache.go (GenerateCacheKey) and driver/cache.go (getFingerPrint) do:
    ids of input artifacts, parameters, outputs' types, image, command, names of claims. Not what is
    in a claim's files. As an artifact's id changes with each execution, nothing is reused after a
    step that is not.
    """
    if not task.spec.caching_options.enable_cache:
        return ""
    container: dict[str, str | list[str]] = {
        "image": task.container.image,
        "cmdArgs": [*task.container.command, *task.container.args],
        "pvcNames": sorted(set(claims)),
    }
    wire = json_format.MessageToDict(executor_input)
    key_parts = {
        "inputArtifactNames": {
            name: {"artifactNames": [artifact["name"] for artifact in value["artifacts"]]}
            for name, value in wire.get("inputs", {}).get("artifacts", {}).items()
        },
        "inputParameterValues": wire.get("inputs", {}).get("parameterValues", {}),
        "outputArtifactsSpec": {
            name: {key: item for key, item in value["artifacts"][0].items() if key != "uri"}
            for name, value in wire["outputs"]["artifacts"].items()
        },
        "containerSpec": {name: value for name, value in container.items() if value},
    }
    # protojson leaves out what is empty.
    whole_key = {name: value for name, value in key_parts.items() if value}
    return hashlib.sha256(dump_canonical(whole_key).encode()).hexdigest()


def _resolve_parameter(
    source: pb.TaskInputsSpec.InputParameterSpec, parameters: Mapping[str, struct_pb2.Value]
) -> struct_pb2.Value:
    """The value of one parameter (resolve.go, resolveInputParameter)."""
    if source.HasField("runtime_value"):
        return source.runtime_value.constant
    wanted = source.component_input_parameter
    if wanted not in parameters:
        raise DriverError(f"parent DAG does not have input parameter {wanted}")
    return parameters[wanted]


def _check_parameter(
    name: str, spec: pb.ComponentInputsSpec.ParameterSpec, inputs: pb.ExecutorInput.Inputs
) -> None:
    if name not in inputs.parameter_values:
        if not spec.is_optional and not spec.HasField("default_value"):
            raise DriverError(
                f"neither value nor default value provided for non-optional parameter {name!r}"
            )
        return
    value = inputs.parameter_values[name]
    kind = _kind(spec)
    if kind == "STRING":
        # Whatever it is, the component gets it as text.
        inputs.parameter_values[name].string_value = value_text(value)
    elif _type(value) != KINDS.get(kind):
        raise DriverError(
            f"input parameter {name!r} type mismatch: expect {kind}, got {_type(value)}"
        )


def _kind(spec: pb.ComponentInputsSpec.ParameterSpec) -> str:
    return pb.ParameterType.ParameterTypeEnum.Name(spec.parameter_type)


def _type(value: struct_pb2.Value) -> str:
    return (value.WhichOneof("kind") or "null_value").removesuffix("_value")


def _runtime_artifact(artifact: Artifact) -> pb.RuntimeArtifact:
    """An artifact as it comes back out of ML Metadata (metadata/converter.go, client.go)."""
    runtime = pb.RuntimeArtifact(name=str(artifact.id), uri=artifact.uri)
    runtime.type.instance_schema = ""
    runtime.metadata.update(artifact.metadata)
    return runtime
