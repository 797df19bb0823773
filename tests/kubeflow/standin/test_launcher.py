"""One attempt: the command with its placeholders filled in, and what becomes of it."""

import os
import sys
from pathlib import Path

import pytest
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kubeflow.compiling.pipeline_file import Task, read_pipeline
from kubeflow.standin.driver import provision_outputs, resolve_inputs, root_parameters
from kubeflow.standin.launcher import Attempt, AttemptError, compile_command, launch
from kubeflow.standin.pod import Cluster, make_pod
from kubeflow.standin.store import Store
from tests.kubeflow.standin.tiny import step, write

ROOT = "minio://b/run"
Given = tuple[Task, pb.ExecutorInput, Attempt, Store]


def prepared(folder: Path, script: str, **changed: object) -> Given:
    """A step that runs `script`, ready to be launched."""
    path = write(folder / "pipeline.yaml", {"A": step(script, outputs=("model",), **changed)})
    pipeline = read_pipeline(path)
    [task] = pipeline.tasks
    given = resolve_inputs(task, root_parameters(pipeline.parameters, {}), {})
    provision_outputs(task, ROOT, given)
    attempt_folder = folder / "attempt"
    attempt_folder.mkdir()
    pod = make_pod(task, Cluster(claims={}, secrets=folder / "secrets"), attempt_folder)
    attempt = Attempt(0, attempt_folder, folder / "log", pod, ROOT)
    return task, given, attempt, Store(folder / "store")


def test_placeholders(tmp_path: Path) -> None:
    task, given, _, _ = prepared(tmp_path, "true", parameters={"n": 3, "rate": 0.5, "s": "a b"})
    uri = given.outputs.artifacts["model"].artifacts[0].uri
    del task.container.command[:]
    task.container.args[:] = [
        "{{$.inputs.parameters['n']}}, {{$.inputs.parameters['rate']}}",
        "{{$.inputs.parameters['s']}}",
        "{{$.outputs.artifacts['model'].uri}}",
        "{{$.outputs.artifacts['model'].path}}",
        "{{$.inputs.artifacts['none'].uri}}",
    ]
    assert compile_command(task, given) == [
        "3, 0.5",
        "a b",
        uri,
        uri.replace("minio://", "/minio/"),
        "{{$.inputs.artifacts['none'].uri}}",
    ]
    task.container.args[:] = ["{{$.inputs.parameters['none']}}"]
    with pytest.raises(AttemptError, match='parameter "none" not found in executor input'):
        compile_command(task, given)


def test_a_default_of_the_components_reaches_the_message(tmp_path: Path) -> None:
    task, given, _, _ = prepared(tmp_path, "true")
    task.component.input_definitions.parameters["extra"].default_value.number_value = 7
    assert '"parameterValues":{"extra":7}' in compile_command(task, given)[-1]
    assert "extra" not in given.inputs.parameter_values


def test_outputs_are_uploaded_and_logs_are_one_of_them(tmp_path: Path) -> None:
    path = "{{$.outputs.artifacts['model'].path}}"
    task, given, attempt, store = prepared(tmp_path, f"mkdir -p {path}; echo 1 > {path}/x; echo hi")
    artifacts = launch(task, given, attempt, store)
    assert sorted(artifacts) == ["executor-logs", "model"]
    assert [file.name for file in store.files(artifacts["model"].uri)] == ["x"]
    assert artifacts["executor-logs"].uri.endswith("/executor-logs-0")
    assert store.path(artifacts["executor-logs"].uri).read_text() == "hi\n"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "signal: SIGKILL"),
        ("kill -TERM $$", "signal: SIGTERM"),
        ("exec /none", "exit status 127"),
    ],
)
def test_how_a_command_ended(tmp_path: Path, script: str, error: str) -> None:
    with pytest.raises(AttemptError) as caught:
        launch(*prepared(tmp_path, script))
    assert str(caught.value) == error


def test_a_command_has_this_python_a_folder_of_its_own_and_is_told_of_its_try(
    tmp_path: Path,
) -> None:
    program = "import os, sys; print(sys.executable, os.environ['TMPDIR'], os.environ.get('{}'))"
    for name, retries, value in (("KFP_RETRY_INDEX", 1, "0"), ("KFP_RETRY_INDEX", 0, "None")):
        folder = tmp_path / str(retries)
        folder.mkdir()
        task, given, attempt, store = prepared(folder, "", retries=retries)
        task.container.command[:] = ["python", "-c", program.format(name)]
        launch(task, given, attempt, store)
        assert attempt.log.read_text().split() == [
            sys.executable,
            os.fspath(attempt.folder / "tmp"),
            value,
        ]
