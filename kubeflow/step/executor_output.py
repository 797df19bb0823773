"""TFX's ExecutorOutput becomes one that KFP's launcher takes.

The launcher reads it in `getExecutorOutputFile` (launcher_v2.go), strictly, uploads artifacts from
the mounts, and keeps their metadata (`StructValueToMLMDValue` in backend/src/v2/metadata/
converter.go), which knows no null.
"""

from pathlib import Path

from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from kubeflow.object_store import to_uri
from signs import durable


def publish(written: Path, target: Path) -> None:
    """Rewrites an ExecutorOutput so that nothing in it is local, whole or not at all.

    Args:
        written: what TFX's entrypoint wrote.
        target: where the launcher looks for it.
    """
    output = json_format.Parse(written.read_text(), pipeline_spec_pb2.ExecutorOutput())
    for artifacts in output.artifacts.values():
        for artifact in artifacts.artifacts:
            artifact.uri = to_uri(artifact.uri)
            _clean(artifact.metadata)
    target.parent.mkdir(parents=True, exist_ok=True)
    durable.write_text(target, json_format.MessageToJson(output))


def _clean(metadata: struct_pb2.Struct) -> None:
    for name, value in list(metadata.fields.items()):
        match value.WhichOneof("kind"):
            case "null_value":
                del metadata.fields[name]
            case "string_value":
                value.string_value = to_uri(value.string_value)
