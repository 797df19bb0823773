"""What a step is handed, in KFP's own form, and under which key its result is kept."""

from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from pydantic import JsonValue

from kubeflow.compiling.pipeline_file import PipelineFile, read_pipeline
from kubeflow.standin.driver import (
    DriverError,
    ParameterError,
    fingerprint,
    provision_outputs,
    resolve_inputs,
    root_parameters,
)
from kubeflow.standin.records import Artifact, Execution
from tests.kubeflow.standin.tiny import TITLE, step, write

MADE = Execution(
    "A", artifacts={"model": Artifact(7, "minio://b/A/model", "tfx.Model", {"span": 1})}
)
B = step(
    "true",
    inputs={"it": ("A", "model")},
    outputs=("model",),
    parameters={"size": 64, "text": "x"},
    from_pipeline={"rate": "rate"},
    cache=True,
)


def pipeline_of(folder: Path, **changed: object) -> PipelineFile:
    """A makes a model, B reads it."""
    steps = {"A": step("true", outputs=("model",)), "B": {**B, **changed}}
    return read_pipeline(write(folder / "pipeline.yaml", steps, parameters={"rate": 0.5}))


def resolved(pipeline: PipelineFile, made: Execution = MADE) -> pb.ExecutorInput:
    parameters = root_parameters(pipeline.parameters, {})
    given = resolve_inputs(pipeline.tasks[1], parameters, {"A": made})
    provision_outputs(pipeline.tasks[1], "minio://b/run", given)
    return given


@pytest.mark.parametrize(
    ("given", "values"),
    [({}, {"rate": 0.5}), ({"rate": 2}, {"rate": 2.0})],
)
def test_parameters_of_a_run(
    tmp_path: Path, given: dict[str, JsonValue], values: dict[str, float]
) -> None:
    found = root_parameters(pipeline_of(tmp_path).parameters, given)
    assert {name: value.number_value for name, value in found.items()} == values


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"steps": 1}, r"not required by pipeline: steps\. It has: rate"),
        ({"rate": True}, "input parameter rate requires type number. Received: True"),
        ({"rate": None}, "input parameter rate requires type number. Received: None"),
    ],
)
def test_a_parameter_that_the_server_would_refuse(
    tmp_path: Path, given: dict[str, JsonValue], error: str
) -> None:
    with pytest.raises(ParameterError, match=error):
        root_parameters(pipeline_of(tmp_path).parameters, given)


def test_inputs_come_untyped_with_what_was_kept_of_them(tmp_path: Path) -> None:
    inputs = json_format.MessageToDict(resolved(pipeline_of(tmp_path)))["inputs"]
    assert inputs == {
        "parameterValues": {"size": 64.0, "text": "x", "rate": 0.5},
        "artifacts": {
            "it": {
                "artifacts": [
                    {
                        "name": "7",
                        "uri": "minio://b/A/model",
                        "type": {"instanceSchema": ""},
                        "metadata": {"span": 1.0},
                    }
                ]
            }
        },
    }


def test_outputs_lie_below_the_run_in_a_folder_of_the_attempts_own(tmp_path: Path) -> None:
    outputs = resolved(pipeline_of(tmp_path)).outputs
    assert sorted(outputs.artifacts) == ["executor-logs", "model"]
    model = outputs.artifacts["model"].artifacts[0]
    folder = model.uri.removesuffix("/model")
    assert folder.startswith("minio://b/run/B/")
    assert model.type.instance_schema == TITLE.format("Model")
    assert outputs.artifacts["executor-logs"].artifacts[0].uri == f"{folder}/executor-logs"
    assert outputs.output_file == f"/minio/{folder[len('minio://') :]}/output_metadata.json"
    again = resolved(pipeline_of(tmp_path)).outputs.artifacts["model"].artifacts[0]
    assert again.uri != model.uri


def test_a_number_for_a_text_is_handed_over_as_text(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path)
    task = pipeline.tasks[1]
    task.spec.inputs.parameters["text"].runtime_value.constant.number_value = 3
    values = resolved(pipeline).inputs.parameter_values
    assert values["text"] == Value(string_value="3")


def test_what_cannot_be_resolved_fails_the_step(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path)
    with pytest.raises(DriverError, match="cannot find output artifact key 'model' in producer"):
        resolved(pipeline, Execution("A"))
    inputs = pipeline.tasks[1].spec.inputs.parameters
    inputs["size"].runtime_value.constant.string_value = "big"
    with pytest.raises(DriverError, match="'size' type mismatch: expect NUMBER_INTEGER, got str"):
        resolved(pipeline)
    del inputs["size"]
    with pytest.raises(DriverError, match=r"neither value nor default .* parameter 'size'"):
        resolved(pipeline)
    inputs["rate"].component_input_parameter = "none"
    with pytest.raises(DriverError, match="parent DAG does not have input parameter none"):
        resolved(pipeline)


def key_of(pipeline: PipelineFile, made: Execution = MADE, claims: tuple[str, ...] = ()) -> str:
    return fingerprint(pipeline.tasks[1], resolved(pipeline, made), claims)


def test_the_key_of_the_cache(tmp_path: Path) -> None:
    key = key_of(pipeline_of(tmp_path))
    assert len(key) == 64
    assert key_of(pipeline_of(tmp_path)) == key  # though its outputs lie elsewhere
    moved = Execution("A", artifacts={"model": Artifact(7, "s3://c/x", "tfx.Model")})
    assert key_of(pipeline_of(tmp_path), moved) == key
    assert key_of(pipeline_of(tmp_path, cache=False)) == ""

    other = Execution("A", artifacts={"model": Artifact(8, "minio://b/A/model", "tfx.Model")})
    others = [
        key_of(pipeline_of(tmp_path), other),
        key_of(pipeline_of(tmp_path), claims=("signs-workspace",)),
        key_of(pipeline_of(tmp_path, image="signs@sha256:1")),
        key_of(pipeline_of(tmp_path, script="false")),
        key_of(pipeline_of(tmp_path, parameters={"size": 65, "text": "x"})),
        key_of(pipeline_of(tmp_path, outputs=("model", "more"))),
    ]
    assert len({key, *others}) == 1 + len(others)
