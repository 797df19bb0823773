"""`--set-parameter`: settings become values of the parameters' types, or one clear error."""

import re
from pathlib import Path

import pytest

from kubeflow.compiling.pipeline_file import read_pipeline
from kubeflow.submitting.arguments import arguments_of, images_of, values_of
from signs.errors import UserError
from tests.kubeflow.submitting.submit_fixtures import IMAGE, PIPELINE, write_pipeline

OTHER_IMAGE = f"ghcr.io/me/other@sha256:{'b' * 64}"


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    pipeline = read_pipeline(write_pipeline(tmp_path))
    values = values_of(pipeline, {"min_accuracy": 0.5})
    assert values == {
        "data_root": "/workspace/data",
        "image": IMAGE,
        "min_accuracy": 0.5,
        "train_steps": 0,
    }
    assert type(values["train_steps"]) is int
    assert images_of(pipeline, {}) == (IMAGE,)


def test_arguments_have_the_parameters_types(tmp_path: Path) -> None:
    pipeline = read_pipeline(write_pipeline(tmp_path))
    settings = ["train_steps=2000", "min_accuracy=1", "data_root=/a=b", f"image={OTHER_IMAGE}"]
    arguments = arguments_of(pipeline, settings)
    assert arguments == {
        "train_steps": 2000,
        "min_accuracy": 1.0,
        "data_root": "/a=b",
        "image": OTHER_IMAGE,
    }
    assert [type(value) for value in arguments.values()] == [int, float, str, str]
    assert images_of(pipeline, arguments) == (OTHER_IMAGE,)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [("BOOLEAN", "true", True), ("LIST", "[1, 2]", [1, 2]), ("STRUCT", '{"a": 1}', {"a": 1})],
)
def test_other_types_of_parameters(tmp_path: Path, kind: str, text: str, value: object) -> None:
    changed = PIPELINE.replace("{defaultValue: 0.9, parameterType: NUMBER_DOUBLE}",
                               f"{{isOptional: true, parameterType: {kind}}}")  # fmt: skip
    pipeline = read_pipeline(write_pipeline(tmp_path, changed))
    assert arguments_of(pipeline, [f"min_accuracy={text}"]) == {"min_accuracy": value}
    with pytest.raises(UserError, match=r"--set-parameter min_accuracy: a .* is needed. Received"):
        arguments_of(pipeline, ["min_accuracy=2;"])


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
        arguments_of(read_pipeline(write_pipeline(tmp_path)), settings)


def test_the_files_own_image_must_be_immutable_too(tmp_path: Path) -> None:
    pipeline = read_pipeline(write_pipeline(tmp_path, PIPELINE.replace(IMAGE, "me/signs:v1")))
    with pytest.raises(UserError, match=r"must be one for ever.*'me/signs:v1'"):
        arguments_of(pipeline, [])
    assert arguments_of(pipeline, [], allow_tag=True) == {}


def test_a_parameter_without_a_default_is_asked_for(tmp_path: Path) -> None:
    changed = PIPELINE.replace("defaultValue: 0.9, ", "")
    pipeline = read_pipeline(write_pipeline(tmp_path, changed))
    with pytest.raises(UserError, match="needs a value for min_accuracy: --set-parameter"):
        arguments_of(pipeline, [])
    assert arguments_of(pipeline, ["min_accuracy=0.5"]) == {"min_accuracy": 0.5}
