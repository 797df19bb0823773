"""How a step's process starts and ends; what it does in between is in tests/kubeflow/step."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kubeflow.step import entrypoint
from tests import ROOT
from tests.kubeflow.step.launcher import RUN_ROOT, Launcher, arguments, instance_schema

EXECUTORS = "tests.kubeflow.step.executors"
MODEL = instance_schema("tfx.Model")
SPEC: dict[str, Any] = {"parameters": {"how": {"parameterType": "STRING"}}}
INVOCATION = {"outputs": {"artifacts": {"model": {"artifacts": [{"uri": "minio://b/Train/1/m"}]}}}}


def fail(launcher: Launcher, how: str) -> tuple[int, Path]:
    executor_input = launcher.executor_input("Train", {"copy": MODEL}, parameters={"how": how})
    code = entrypoint.main(arguments(f"{EXECUTORS}.Fail", executor_input, SPEC))
    return code, Path(executor_input["outputs"]["outputFile"])


@pytest.mark.parametrize(
    ("how", "last", "has_traceback"),
    [
        ("raise", "signs: Train failed: RuntimeError: the data are", True),
        ("exit", "signs: Train failed: SystemExit(0)", True),
        ("user", "signs: Train failed: min_accuracy must be in [0, 1]. Received: 7", False),
    ],
)
def test_a_step_that_fails(
    launcher: Launcher, capfd: pytest.CaptureFixture[str], how: str, last: str, has_traceback: bool
) -> None:
    code, output = fail(launcher, how)
    error = capfd.readouterr().err
    assert code == 1
    assert error.splitlines()[-1] == last
    assert ("Traceback (most recent call last)" in error) is has_traceback
    assert not output.exists()


def command(**replaced: str | None) -> list[str]:
    given: dict[str, str | None] = {
        "executor_class_path": f"{EXECUTORS}.Copy",
        "json_serialized_invocation_args": json.dumps(INVOCATION),
        "json_serialized_inputs_spec_args": "{}",
        **replaced,
    }
    return [part for name, value in given.items() if value for part in (f"--{name}", value)]


NOT_REPLACED = (
    "signs: kubeflow.step.entrypoint: the placeholder {} was not replaced: this command is to be "
    "started by the launcher of Kubeflow Pipelines"
)
NO_INPUT = (
    "signs: kubeflow.step.entrypoint: --json_serialized_invocation_args must be an ExecutorInput "
    "in JSON, with outputs. Received: "
)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (
            command(json_serialized_inputs_spec_args=None),
            "signs: kubeflow.step.entrypoint: the following arguments are required: "
            "--json_serialized_inputs_spec_args",
        ),
        (
            ["--executor_class_path"],
            "signs: kubeflow.step.entrypoint: argument --executor_class_path: "
            "expected one argument",
        ),
        (
            command(json_serialized_invocation_args="{{$}}"),
            NOT_REPLACED.format("{{$}}"),
        ),
        (
            [*command(), "--project={{$.inputs.parameters['project']}}"],
            NOT_REPLACED.format("{{$.inputs.parameters['project']}}"),
        ),
        (command(json_serialized_invocation_args="{"), NO_INPUT + "'{'"),
        (command(json_serialized_invocation_args="[]"), NO_INPUT + "'[]'"),
        (
            command(json_serialized_invocation_args='{"outputs": {"artifacts": {}}}'),
            NO_INPUT + """'{"outputs": {"artifacts": {}}}'""",
        ),
        (
            command(json_serialized_invocation_args='{"outputs": {"artifacts": {"m": {}}}}'),
            NO_INPUT + """'{"outputs": {"artifacts": {"m": {}}}}'""",
        ),
    ],
)  # fmt: skip
def test_a_step_that_cannot_be_started(
    argv: list[str], line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert entrypoint.main(argv) == 2
    assert capfd.readouterr().err.splitlines() == [line]


def test_an_executor_that_is_not_there(
    launcher: Launcher, capfd: pytest.CaptureFixture[str]
) -> None:
    executor_input = launcher.executor_input("Train", {"copy": MODEL})
    assert entrypoint.main(arguments("components.nowhere.Executor", executor_input, SPEC)) == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "signs: Train failed: ImportError: Could not import components.nowhere.Executor"
    )


def test_only_the_chief_of_several_workers_writes(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = {"worker": ["localhost:1", "localhost:2"]}
    uri = f"{RUN_ROOT}/Trainer/77/model"
    launcher.local(uri).mkdir(parents=True)
    (launcher.local(uri) / "weights").write_text("1")
    inputs = {"model": launcher.register("model", uri)}
    executor_input = launcher.executor_input("Train", {"copy": MODEL}, inputs)
    task = Path(executor_input["outputs"]["outputFile"]).parent
    spec = {"artifacts": {"model": {"artifactType": MODEL}}}
    for index, files in ((1, []), (0, ["copy", "output_metadata.json"])):
        config = {"cluster": hosts, "task": {"type": "worker", "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        assert entrypoint.main(arguments(f"{EXECUTORS}.Copy", executor_input, spec)) == 0
        assert sorted(file.name for file in task.iterdir()) == files


def test_a_step_tells_of_its_training_and_ends_at_once_by_sigterm(
    launcher: Launcher, tmp_path: Path
) -> None:
    executor_input = launcher.executor_input("Train", {"copy": MODEL})
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "kubeflow.step.entrypoint"),
            *arguments(f"{EXECUTORS}.Sleep", executor_input, {}),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "asleep\n"
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, error = process.communicate(timeout=30)
    assert process.returncode == 143
    assert output.splitlines() == ["tidied up"]
    assert time.monotonic() - begun < 5
    assert [line for line in error.splitlines() if "epoch" in line] == ["epoch 1/2"]
    assert error.splitlines()[-1] == "signs: ended by SIGTERM"
    assert not Path(executor_input["outputs"]["outputFile"]).exists()
