"""What a step hands back, read as strictly as KFP's launcher reads it.

output_metadata.json: an ExecutorOutput in JSON (launcher_v2.go: getExecutorOutputFile,
uploadOutputArtifacts)
"""

import json
from pathlib import Path
from typing import NoReturn

import yaml
from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from pydantic import JsonValue

from kubeflow.standin.gojson import whole
from kubeflow.standin.records import Artifact

# What KFP adds to each artifact where its producer did not (metadata/client.go, RecordArtifact).
_SESSION = '{"Provider":"minio","Params":{"fromEnv":"true"}}'


class OutputError(RuntimeError):
    """The launcher would refuse it."""


def read_executor_output(path: Path) -> pb.ExecutorOutput:
    """Reads the file; none is an empty output.

    Raises:
        OutputError: it is no JSON, or has a field that an ExecutorOutput does not have.
    """
    output = pb.ExecutorOutput()
    try:
        text = path.read_text()
    except FileNotFoundError:
        return output
    except (OSError, UnicodeDecodeError) as err:
        raise OutputError(f'failed to read output metadata file "{path}": {err}') from err
    try:
        _refuse_what_go_refuses(json.loads(text, parse_constant=_refuse_constant))
        return json_format.Parse(text, output)
    except (ValueError, json_format.ParseError) as err:
        reason = " ".join(str(err).split())
        raise OutputError(
            f'failed to unmarshall ExecutorOutput in file "{path}": {reason}'
        ) from err


def merge(reported: pb.RuntimeArtifact, artifact: pb.RuntimeArtifact) -> None:
    """Takes over what the step reported of an artifact (mergeRuntimeArtifacts)."""
    if reported.uri:
        artifact.uri = reported.uri
    if reported.custom_path:
        artifact.custom_path = reported.custom_path
    for key, value in reported.metadata.fields.items():
        artifact.metadata.fields[key].CopyFrom(value)


def recorded(name: str, artifact: pb.RuntimeArtifact) -> Artifact:
    """An artifact as ML Metadata keeps it, still without an id (metadata/converter.go).

    Raises:
        OutputError: it has no type with a title, or a property that ML Metadata cannot keep.
    """
    metadata = {
        key: whole(_property(key, value)) for key, value in sorted(artifact.metadata.fields.items())
    }
    metadata.setdefault("display_name", name)
    metadata.setdefault("store_session_info", _SESSION)
    return Artifact(0, artifact.uri, _title(name, artifact.type), metadata)


def _title(name: str, schema: pb.ArtifactTypeSchema) -> str:
    match schema.WhichOneof("kind"):
        case "schema_title":
            return schema.schema_title
        case "instance_schema":
            parsed = yaml.safe_load(schema.instance_schema)
            if isinstance(parsed, dict) and parsed.get("title"):
                return str(parsed["title"])
            raise OutputError(f'output "{name}": No title specified')
        case kind:
            raise OutputError(f'failed to determine schema for output "{name}": {kind}')


def _property(name: str, value: struct_pb2.Value) -> JsonValue:
    plain: JsonValue = json_format.MessageToDict(value)
    match value.WhichOneof("kind"):
        case "bool_value":
            return int(value.bool_value)
        case "list_value":
            return {"list": plain}
        case "struct_value":
            return {"struct": plain}
        case "string_value" | "number_value":
            return plain
        case kind:
            raise OutputError(
                f'failed to convert RuntimeArtifact to MLMD artifact: property "{name}" has '
                f"unknown/unsupported value type {kind}"
            )


def _refuse_what_go_refuses(document: object) -> None:
    """Python's parser takes these."""
    if not isinstance(document, dict):
        raise ValueError(f"unexpected token: the file must hold an object, not {document!r:.20}")
    if "parameterValues" in document and "parameter_values" in document:
        raise ValueError('duplicate field "parameter_values"')


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
