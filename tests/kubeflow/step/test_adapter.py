"""What TFX's own entrypoint fails at under KFP's launcher, and that the adapter does not.

The tests named `test_stock_...` say where TFX stands: one that fails means that TFX has mended it,
and that a part of the adapter may go.
"""

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as stock

from tests.kubeflow.step.launcher import RUN_ROOT, Launcher, arguments, instance_schema

COPY = "tests.kubeflow.step.executors.Copy"
MODEL = instance_schema("tfx.Model")
SPEC: dict[str, Any] = {
    "artifacts": {"model": {"artifactType": MODEL}, "baseline_model": {"artifactType": MODEL}},
    "parameters": {
        "epochs": {"parameterType": "NUMBER_INTEGER"},
        "rate": {"parameterType": "NUMBER_DOUBLE"},
        "name": {"parameterType": "STRING"},
    },
}


@pytest.fixture
def model(launcher: Launcher) -> dict[str, Any]:
    uri = f"{RUN_ROOT}/Trainer/77/model"
    launcher.local(uri).mkdir(parents=True)
    (launcher.local(uri) / "weights").write_text("1")
    return launcher.register("model", uri, precision="float32")


@pytest.fixture
def executor_input(launcher: Launcher, model: dict[str, Any]) -> dict[str, Any]:
    parameters = {"epochs": 3, "rate": 1, "name": "7", "image": "signs@sha256:0"}
    return launcher.executor_input("Copy", {"copy": MODEL}, {"model": model}, parameters)


def run_stock(executor_input: dict[str, Any]) -> None:
    args = arguments(COPY, executor_input, SPEC)
    stock._run_executor(
        argparse.Namespace(**{args[i][2:]: args[i + 1] for i in range(0, len(args), 2)}), []
    )


def without_logs(executor_input: dict[str, Any]) -> dict[str, Any]:
    executor_input = copy.deepcopy(executor_input)
    del executor_input["outputs"]["artifacts"]["executor-logs"]
    return executor_input


def with_types(executor_input: dict[str, Any]) -> dict[str, Any]:
    executor_input = without_logs(executor_input)
    executor_input["inputs"]["artifacts"]["model"]["artifacts"][0]["type"] = MODEL
    return executor_input


def on_mounts(launcher: Launcher, executor_input: dict[str, Any]) -> dict[str, Any]:
    """What is left to do once the three errors that stop TFX's entrypoint are gone."""
    executor_input = with_types(executor_input)
    for part in ("inputs", "outputs"):
        for artifacts in executor_input[part]["artifacts"].values():
            for artifact in artifacts["artifacts"]:
                artifact["uri"] = str(launcher.local(artifact["uri"]))
                launcher.local(f"{RUN_ROOT}/Copy/1f0e/copy").mkdir(exist_ok=True)
    return executor_input


def seen(launcher: Launcher) -> dict[str, Any]:
    return json.loads((launcher.local(f"{RUN_ROOT}/Copy/1f0e/copy") / "seen.json").read_text())


def test_stock_knows_no_executor_logs(executor_input: dict[str, Any]) -> None:
    typed = with_types(executor_input)
    typed["outputs"] = executor_input["outputs"]
    with pytest.raises(ImportError, match=r"^Could not import system\.Artifact$"):
        run_stock(typed)


def test_stock_needs_typed_inputs(executor_input: dict[str, Any]) -> None:
    with pytest.raises(AttributeError, match=r"^'NoneType' object has no attribute 'get'$"):
        run_stock(without_logs(executor_input))


@pytest.mark.parametrize("scheme", ["minio", "s3"])
def test_stock_has_no_file_system_for_object_stores(
    scheme: str, executor_input: dict[str, Any]
) -> None:
    text = json.dumps(with_types(executor_input)).replace("minio://", f"{scheme}://")
    with pytest.raises(
        tf.errors.UnimplementedError, match=f"File system scheme '{scheme}' not implemented"
    ):
        run_stock(json.loads(text))


def test_stock_lets_local_paths_and_kfps_own_metadata_out(
    launcher: Launcher, executor_input: dict[str, Any]
) -> None:
    run_stock(on_mounts(launcher, executor_input))
    artifact = launcher.output(executor_input)["artifacts"]["copy"]["artifacts"][0]
    assert artifact["uri"] == str(launcher.local(f"{RUN_ROOT}/Copy/1f0e/copy"))
    metadata = artifact["metadata"]
    assert metadata["current_model"] == str(launcher.local(f"{RUN_ROOT}/Trainer/77/model"))
    assert metadata["display_name"] == "model"
    assert "mlpipeline-minio-artifact" in metadata["store_session_info"]


def test_stock_reads_null_as_zero_and_cuts_fractions(
    launcher: Launcher, executor_input: dict[str, Any]
) -> None:
    executor_input["inputs"]["parameterValues"] = {"epochs": 3.9, "rate": None}
    run_stock(on_mounts(launcher, executor_input))
    assert seen(launcher)["properties"] == {"epochs": 3, "rate": 0}


def test_stock_keeps_its_temporary_files_among_the_artifacts(
    launcher: Launcher, executor_input: dict[str, Any]
) -> None:
    run_stock(on_mounts(launcher, executor_input))
    assert launcher.local(f"{RUN_ROOT}/Copy/1f0e/.temp").is_dir()


def test_stock_makes_no_output_folders(launcher: Launcher, executor_input: dict[str, Any]) -> None:
    ready = on_mounts(launcher, executor_input)
    launcher.local(f"{RUN_ROOT}/Copy/1f0e/copy").rmdir()
    with pytest.raises((FileNotFoundError, tf.errors.NotFoundError)):
        run_stock(ready)


def test_the_adapter_repairs_all_of_it(
    launcher: Launcher, tmp_path: Path, executor_input: dict[str, Any]
) -> None:
    outputs = launcher.run(COPY, executor_input, SPEC)
    assert seen(launcher) == {
        "type": "Model",
        "weights": "1",
        "inputs": ["model"],
        "outputs": ["copy"],
        "properties": {"epochs": 3, "name": "7", "rate": 1.0},
        "temporary": seen(launcher)["temporary"],
    }
    assert outputs["copy"]["uri"] == f"{RUN_ROOT}/Copy/1f0e/copy"
    written = launcher.output(executor_input)["artifacts"]["copy"]["artifacts"][0]
    del written["metadata"]["tfx_version"]
    assert written["metadata"] == {
        "precision": "float32",
        "current_model": f"{RUN_ROOT}/Trainer/77/model",
    }


def test_temporary_files_go_with_the_step(
    launcher: Launcher, tmp_path: Path, executor_input: dict[str, Any]
) -> None:
    launcher.run(COPY, executor_input, SPEC)
    for folder in seen(launcher)["temporary"]:
        assert folder.startswith(f"{tmp_path}/tmp/step-")
    assert list((tmp_path / "tmp").iterdir()) == []
    task = launcher.local(f"{RUN_ROOT}/Copy/1f0e")
    assert sorted(file.name for file in task.iterdir()) == ["copy", "output_metadata.json"]
