import re
from pathlib import Path

import pytest

from kubeflow.compiling.pipeline_file import read_pipeline
from signs.errors import UserError
from tests.kubeflow.submitting.submit_fixtures import IMAGE, PIPELINE, write_pipeline

OTHER_IMAGE = f"ghcr.io/me/other@sha256:{'b' * 64}"


def test_reads_what_was_compiled(tmp_path: Path) -> None:
    pipeline = read_pipeline(write_pipeline(tmp_path))
    assert pipeline.name == "signs-synthetic"
    assert pipeline.root == "minio://mlpipeline/v2/artifacts"
    assert pipeline.steps == ("ImportExampleGen", "Trainer")
    assert pipeline.retried == {"Trainer"}
    assert pipeline.images_with({}) == (IMAGE,)
    assert {name: (p.kind, p.default) for name, p in pipeline.parameters.items()} == {
        "data_root": ("STRING", "/workspace/data"),
        "image": ("STRING", IMAGE),
        "min_accuracy": ("NUMBER_DOUBLE", 0.9),
        "train_steps": ("NUMBER_INTEGER", 0),
    }


def test_version_names_the_content(tmp_path: Path) -> None:
    first = read_pipeline(write_pipeline(tmp_path)).version
    assert read_pipeline(write_pipeline(tmp_path)).version == first
    assert len(first) == 12
    other = read_pipeline(write_pipeline(tmp_path, PIPELINE.replace("0.9", "0.8"))).version
    assert other != first


def test_arguments_have_the_parameters_types(tmp_path: Path) -> None:
    pipeline = read_pipeline(write_pipeline(tmp_path))
    settings = ["train_steps=2000", "min_accuracy=1", "data_root=/a=b", f"image={OTHER_IMAGE}"]
    arguments = pipeline.arguments(settings)
    assert arguments == {
        "train_steps": 2000,
        "min_accuracy": 1.0,
        "data_root": "/a=b",
        "image": OTHER_IMAGE,
    }
    assert [type(value) for value in arguments.values()] == [int, float, str, str]
    assert pipeline.images_with(arguments) == (OTHER_IMAGE,)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [("BOOLEAN", "true", True), ("LIST", "[1, 2]", [1, 2]), ("STRUCT", '{"a": 1}', {"a": 1})],
)
def test_other_types_of_parameters(tmp_path: Path, kind: str, text: str, value: object) -> None:
    changed = PIPELINE.replace("{defaultValue: 0.9, parameterType: NUMBER_DOUBLE}",
                               f"{{isOptional: true, parameterType: {kind}}}")  # fmt: skip
    pipeline = read_pipeline(write_pipeline(tmp_path, changed))
    assert pipeline.arguments([f"min_accuracy={text}"]) == {"min_accuracy": value}
    with pytest.raises(UserError, match=r"--set-parameter min_accuracy: a .* is needed. Received"):
        pipeline.arguments(["min_accuracy=2;"])


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        (["train_steps"], "--set-parameter takes NAME=VALUE. Received: 'train_steps'"),
        (["=5"], "--set-parameter takes NAME=VALUE. Received: '=5'"),
        (
            ["epochs=5"],
            "has no parameter 'epochs'. Its parameters: data_root, image, min_accuracy, "
            "train_steps. What is no parameter is set when it is compiled",
        ),
        (["train_steps=1", "train_steps=2"], "--set-parameter train_steps was given twice"),
        (["train_steps=1.5"], "train_steps: a whole number is needed. Received: '1.5'"),
        (["train_steps="], "train_steps: a whole number is needed. Received: ''"),
        ([f"train_steps={2**53}"], "train_steps: a whole number is needed"),
        (["min_accuracy=nan"], "min_accuracy: a number is needed. Received: 'nan'"),
        (["min_accuracy=high"], "min_accuracy: a number is needed. Received: 'high'"),
        (["image=ghcr.io/me/signs:latest"], "must be one for ever"),
        (["image=ghcr.io/me/signs:v1"], "must be one for ever"),
    ],
)
def test_refuses_a_setting(tmp_path: Path, settings: list[str], error: str) -> None:
    with pytest.raises(UserError, match=re.escape(error)):
        read_pipeline(write_pipeline(tmp_path)).arguments(settings)


def test_the_files_own_image_must_be_immutable_too(tmp_path: Path) -> None:
    pipeline = read_pipeline(write_pipeline(tmp_path, PIPELINE.replace(IMAGE, "me/signs:v1")))
    with pytest.raises(UserError, match=r"must be one for ever.*'me/signs:v1'"):
        pipeline.arguments([])
    assert pipeline.arguments([], allow_tag=True) == {}


def test_a_parameter_without_a_default_is_asked_for(tmp_path: Path) -> None:
    changed = PIPELINE.replace("defaultValue: 0.9, ", "")
    pipeline = read_pipeline(write_pipeline(tmp_path, changed))
    with pytest.raises(UserError, match="needs a value for min_accuracy: --set-parameter"):
        pipeline.arguments([])
    assert pipeline.arguments(["min_accuracy=0.5"]) == {"min_accuracy": 0.5}


CYCLE = PIPELINE.replace(
    "        taskInfo: {name: ImportExampleGen}", "        dependentTasks: [Trainer]"
)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "is not a compiled pipeline: it must hold one or two documents"),
        ("a: [", "is not YAML: while parsing a flow node"),
        ("\x00", "is not YAML: unacceptable character"),
        ("- a\n- b\n", "is not a compiled pipeline: it must hold one or two documents"),
        ("kind: Deployment\n", 'is not a compiled pipeline: .* no field named "kind"'),
        ("schemaVersion: 2.1.0\n", "has no name, no steps or no images"),
        (PIPELINE.replace("2.1.0", "2.0.0"), "is of schema 2.0.0: KFP's server takes 2.1.0"),
        (PIPELINE.replace("pvcMount", "pvcMounts"), 'kfp-kubernetes reads: .*named "pvcMounts"'),
        (PIPELINE + "---\na: 1\n", "it must hold one or two documents"),
        (PIPELINE.replace("[''image'']", "[''img'']"), "named by a parameter that it lacks: img"),
        (CYCLE, "steps that wait for each other: .*'Trainer'"),
        (PIPELINE.replace("parameterType: NUMBER_DOUBLE", "isOptional: true"), "no known type"),
    ],
)
def test_refuses_what_is_no_pipeline(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(UserError, match=error):
        read_pipeline(write_pipeline(tmp_path, text))


def test_refuses_json_and_what_cannot_be_read(tmp_path: Path) -> None:
    json_file = write_pipeline(tmp_path).rename(tmp_path / "pipeline.json")
    with pytest.raises(UserError, match=r"pipeline\.json must end in \.yaml"):
        read_pipeline(json_file)
    with pytest.raises(UserError, match=r"gone\.yaml cannot be read: No such file or directory"):
        read_pipeline(tmp_path / "gone.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UserError, match=r"folder\.yaml cannot be read: Is a directory"):
        read_pipeline(tmp_path / "folder.yaml")
