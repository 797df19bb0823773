"""KFP's ExecutorInput becomes one that TFX's entrypoint understands.

What arrives is written by KFP's driver (backend/src/v2/driver: `resolveInputs` in resolve.go and
`provisionOutputs` in driver.go) and by its launcher (`executeV2` in launcher_v2.go).
"""

from collections.abc import MutableMapping
from pathlib import Path

from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.types import standard_component_specs

from kubeflow.object_store import EXECUTOR_LOGS, to_path
from signs.errors import UserError

# Models of earlier runs, of which there may be none yet.
OPTIONAL_INPUTS = frozenset(
    {standard_component_specs.BASELINE_MODEL_KEY, standard_component_specs.BASE_MODEL_KEY}
)

# What KFP itself keeps with an artifact (`RecordArtifact` in backend/src/v2/metadata/client.go).
# Copied to an output, it would give that the input's name, and the credentials of its bucket.
_KFP_METADATA = ("display_name", "store_session_info")

_ParameterType = pipeline_spec_pb2.ParameterType


def parse(
    executor_input: str, inputs_spec: str
) -> tuple[pipeline_spec_pb2.ExecutorInput, pipeline_spec_pb2.ComponentInputsSpec]:
    """Reads both messages from JSON.

    Raises:
        json_format.ParseError: one of them is something else.
    """
    return (
        json_format.Parse(
            executor_input, pipeline_spec_pb2.ExecutorInput(), ignore_unknown_fields=True
        ),
        json_format.Parse(
            inputs_spec, pipeline_spec_pb2.ComponentInputsSpec(), ignore_unknown_fields=True
        ),
    )


def adapt(
    executor_input: pipeline_spec_pb2.ExecutorInput,
    inputs_spec: pipeline_spec_pb2.ComponentInputsSpec,
    outputs: Path | None = None,
) -> None:
    """Changes the message in place.

    Args:
        executor_input: as the launcher wrote it.
        inputs_spec: the types of the component's inputs, as the compiler wrote them.
        outputs: a folder for output artifacts; None leaves them under KFP's mounts.

    Raises:
        UserError: an input is missing, or a parameter is not of its type.
    """
    _restore_parameters(executor_input.inputs.parameter_values, inputs_spec)
    inputs = executor_input.inputs.artifacts
    for name, artifacts in list(inputs.items()):
        if not artifacts.artifacts or not all(map(_has_files, artifacts.artifacts)):
            if name not in OPTIONAL_INPUTS:
                places = " ".join(artifact.uri for artifact in artifacts.artifacts)
                raise UserError(
                    f"the input {name} is empty ({places or 'no artifact'}): the step that makes it"
                    " wrote no file there, or the object store has lost them. Start a new run,"
                    " without reusing cached steps"
                )
            del inputs[name]
            continue
        for artifact in artifacts.artifacts:
            # KFP's driver hands artifacts on without their types.
            artifact.type.CopyFrom(inputs_spec.artifacts[name].artifact_type)
            artifact.uri = str(to_path(artifact.uri))
            for key in _KFP_METADATA:
                artifact.metadata.fields.pop(key, None)
    executor_input.outputs.artifacts.pop(EXECUTOR_LOGS, None)
    for name, artifacts in executor_input.outputs.artifacts.items():
        for artifact in artifacts.artifacts:
            artifact.uri = str(outputs / name if outputs else to_path(artifact.uri))


def _has_files(artifact: pipeline_spec_pb2.RuntimeArtifact) -> bool:
    """Whether the launcher found anything under the artifact's address."""
    path = to_path(artifact.uri)
    if path.is_file():
        # TensorFlow and the consoles of object stores mark a folder by an empty object of its name,
        # which the launcher takes for a file (kubeflow/pipelines 13476).
        return path.stat().st_size > 0
    return any(file.is_file() for file in path.rglob("*"))


def _restore_parameters(
    values: MutableMapping[str, struct_pb2.Value],
    inputs_spec: pipeline_spec_pb2.ComponentInputsSpec,
) -> None:
    """Makes of protobuf's numbers and nulls what TFX's parser can read."""
    for name, value in list(values.items()):
        if name not in inputs_spec.parameters:
            del values[name]  # not the executor's: KFP needs it to start the container
            continue
        match value.WhichOneof("kind"):
            case "null_value":  # TFX reads it as 0
                del values[name]
            case "number_value":
                kind = inputs_spec.parameters[name].parameter_type
                if kind == _ParameterType.NUMBER_INTEGER and not value.number_value.is_integer():
                    raise UserError(
                        f"the parameter {name} must be a whole number. "
                        f"Received: {value.number_value:g}"
                    )
