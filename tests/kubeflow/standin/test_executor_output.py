"""What a step hands back: taken or refused, and what is kept of it."""

from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from pydantic import JsonValue

from kubeflow.standin.executor_output import OutputError, merge, read_executor_output, recorded
from kubeflow.standin.records import Artifact

SESSION = '{"Provider":"minio","Params":{"fromEnv":"true"}}'


def artifact(**fields: object) -> pb.RuntimeArtifact:
    return json_format.ParseDict(fields, pb.RuntimeArtifact())


def test_no_file_is_an_empty_output(tmp_path: Path) -> None:
    assert read_executor_output(tmp_path / "none.json") == pb.ExecutorOutput()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "failed to unmarshall ExecutorOutput in file"),
        ("[]", "the file must hold an object"),
        ('{"more": 1}', 'no field named "more"'),
        ('{"parameterValues": {}, "parameter_values": {}}', "duplicate field"),
        ('{"parameterValues": {"x": NaN}}', "NaN is no JSON"),
        ("\udcff", "failed to read output metadata file"),
    ],
)
def test_what_the_launcher_would_refuse(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "output_metadata.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(OutputError, match=error):
        read_executor_output(path)


def test_what_a_step_reports_goes_before_what_was_declared() -> None:
    kept = artifact(name="model", uri="minio://b/x", metadata={"a": "declared", "b": 1})
    merge(artifact(name="mine", metadata={"a": "reported"}), kept)
    assert kept == artifact(name="model", uri="minio://b/x", metadata={"a": "reported", "b": 1})
    merge(artifact(uri="minio://b/x/y"), kept)
    assert kept.uri == "minio://b/x/y"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (True, 1),  # ML Metadata knows no booleans
        (3, 3),
        (0.5, 0.5),
        ("x", "x"),
        ([1, "a"], {"list": [1, "a"]}),
        ({"k": 2}, {"struct": {"k": 2}}),
    ],
)
def test_a_property_as_ml_metadata_keeps_it(given: JsonValue, kept: JsonValue) -> None:
    made = recorded(
        "model",
        artifact(
            uri="minio://b/x",
            type={"instanceSchema": "title: tfx.Model\ntype: object\n"},
            metadata={"it": given},
        ),
    )
    metadata = {"display_name": "model", "store_session_info": SESSION, "it": kept}
    assert made == Artifact(0, "minio://b/x", "tfx.Model", metadata)
    assert type(made.metadata["it"]) is type(kept)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"type": {"instanceSchema": "type: object\n"}}, 'output "it": No title specified'),
        ({}, 'failed to determine schema for output "it": None'),
        (
            {"type": {"schemaTitle": "a.B"}, "metadata": {"x": None}},
            'property "x" has unknown/unsupported value type null_value',
        ),
    ],
)
def test_what_cannot_be_kept(fields: dict[str, JsonValue], error: str) -> None:
    with pytest.raises(OutputError, match=error):
        recorded("it", artifact(**fields))
