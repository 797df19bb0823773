"""What of ExecutorInput reaches TFX, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from kubeflow.step.executor_input import adapt, parse
from signs.errors import UserError
from tests.kubeflow.step.launcher import RUN_ROOT, Launcher, instance_schema

MODEL = instance_schema("tfx.Model")
SPEC: dict[str, Any] = {
    "artifacts": {"model": {"artifactType": MODEL}, "baseline_model": {"artifactType": MODEL}},
    "parameters": {
        "epochs": {"parameterType": "NUMBER_INTEGER"},
        "rate": {"parameterType": "NUMBER_DOUBLE"},
        "recipe": {"parameterType": "STRING"},
    },
}


def adapted(
    launcher: Launcher,
    inputs: dict[str, dict[str, Any]] | None = None,
    parameters: dict[str, Any] | None = None,
    outputs: Path | None = None,
) -> dict[str, Any]:
    given = launcher.executor_input("Step", {"copy": MODEL}, inputs, parameters)
    message, spec = parse(json.dumps(given), json.dumps(SPEC))
    adapt(message, spec, outputs)
    return json_format.MessageToDict(message)


def model(launcher: Launcher, uri: str = f"{RUN_ROOT}/Trainer/77/model") -> dict[str, Any]:
    launcher.local(uri).mkdir(parents=True)
    (launcher.local(uri) / "weights").touch()
    return launcher.register("model", uri, precision="float32")


def test_an_input_has_its_type_its_folder_and_no_metadata_of_kfps(launcher: Launcher) -> None:
    inputs = adapted(launcher, {"model": model(launcher)})["inputs"]["artifacts"]
    assert inputs == {
        "model": {
            "artifacts": [
                {
                    "name": "1",
                    "type": MODEL,
                    "uri": str(launcher.mounts / "minio/mlpipeline/v2/artifacts/signs/run-1")
                    + "/Trainer/77/model",
                    "metadata": {"precision": "float32"},
                }
            ]
        }
    }


def test_an_input_without_any_type_or_metadata(launcher: Launcher) -> None:
    given = model(launcher)  # as an input of a whole pipeline has it
    del given["type"], given["metadata"]
    (found,) = adapted(launcher, {"model": given})["inputs"]["artifacts"]["model"]["artifacts"]
    assert found["type"] == MODEL


def test_outputs_lie_on_the_mounts_without_the_launchers_logs(launcher: Launcher) -> None:
    outputs = adapted(launcher)["outputs"]["artifacts"]
    assert list(outputs) == ["copy"]
    assert outputs["copy"]["artifacts"][0]["uri"].endswith(
        "/mounts/minio/mlpipeline/v2/artifacts/signs/run-1/Step/1f0e/copy"
    )


def test_outputs_may_lie_elsewhere(launcher: Launcher, tmp_path: Path) -> None:
    outputs = adapted(launcher, outputs=tmp_path / "unused")["outputs"]["artifacts"]
    assert outputs["copy"]["artifacts"][0]["uri"] == str(tmp_path / "unused" / "copy")


@pytest.mark.parametrize("name", ["baseline_model", "base_model"])
@pytest.mark.parametrize("lost", ["folder", "files", "artifact"])
def test_there_may_be_no_earlier_model(launcher: Launcher, name: str, lost: str) -> None:
    given = launcher.register("model", f"{RUN_ROOT}/Baseline/77/model")
    if lost == "files":
        (launcher.local(given["uri"]) / "Format-Serving" / "assets").mkdir(parents=True)
    inputs = {name: given, "model": model(launcher)}
    message = launcher.executor_input("Step", {"copy": MODEL}, inputs)
    if lost == "artifact":
        message["inputs"]["artifacts"][name] = {}
    parsed, spec = parse(json.dumps(message), json.dumps(SPEC))
    adapt(parsed, spec)
    assert list(parsed.inputs.artifacts) == ["model"]


def test_any_other_input_must_be_there(launcher: Launcher) -> None:
    given = launcher.register("model", f"{RUN_ROOT}/Trainer/77/model")
    with pytest.raises(UserError) as told:
        adapted(launcher, {"model": given})
    assert str(told.value) == (
        "the input model is empty (minio://mlpipeline/v2/artifacts/signs/run-1/Trainer/77/model): "
        "the step that makes it wrote no file there, or the object store has lost them. Start a "
        "new run, without reusing cached steps"
    )


@pytest.mark.parametrize("scheme", ["gs", "minio", "s3"])
def test_the_mark_of_an_empty_folder_is_no_model(launcher: Launcher, scheme: str) -> None:
    uri = f"{scheme}://bucket/Baseline/77/model"
    launcher.local(uri).parent.mkdir(parents=True)
    launcher.local(uri).touch()
    inputs = adapted(launcher, {"baseline_model": launcher.register("model", uri)})["inputs"]
    assert "baseline_model" not in inputs.get("artifacts", {})


def test_an_input_elsewhere_is_told(launcher: Launcher) -> None:
    with pytest.raises(UserError, match=r"^'hdfs://b/model' is no address that Kubeflow"):
        adapted(launcher, {"model": launcher.register("model", "hdfs://b/model")})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"epochs": 3, "rate": 1}, {"epochs": 3.0, "rate": 1.0}),
        ({"epochs": 1e9, "rate": 0.1}, {"epochs": 1e9, "rate": 0.1}),
        ({"recipe": "7"}, {"recipe": "7"}),
        ({"recipe": None, "epochs": 0}, {"epochs": 0.0}),
        ({"image": "signs@sha256:0", "epochs": 0}, {"epochs": 0.0}),
    ],
)
def test_parameters(launcher: Launcher, given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert adapted(launcher, parameters=given)["inputs"]["parameterValues"] == expected


def test_steps_are_whole(launcher: Launcher) -> None:
    with pytest.raises(UserError, match=r"^the parameter epochs must be a whole number. Received"):
        adapted(launcher, parameters={"epochs": 3.9})


def test_what_a_newer_launcher_adds_is_passed_over(launcher: Launcher) -> None:
    given = launcher.executor_input("Step", {"copy": MODEL})
    given["inputs"]["newer"] = {"than": "this"}
    parse(json.dumps(given), json.dumps(SPEC))
