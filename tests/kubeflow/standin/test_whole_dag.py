"""The real DAG on the stand-in: `signs run --on kubeflow-local`, and what goes wrong on the way.

The tests share one workspace and run in the order in which they stand.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from kubeflow.compiling.compiler import compile_pipeline
from kubeflow.compiling.options import ClusterOptions
from kubeflow.standin.records import Execution, RunRecord
from kubeflow.standin.runner import Listener, run
from kubeflow.standin.store import Store
from pipeline.environment import Workspace
from pipeline.running.child import Job
from tests.pipeline.test_end_to_end import SETTINGS, UNCHANGED, customer, images  # noqa: F401 - fixtures

SIGNS = Path(sys.executable).with_name("signs")
NAME = "colours"
IMAGE = f"signs@sha256:{'0' * 64}"
STEPS = {
    "CuratedSchema", "SpanGen", "LeakageGuard", "StatisticsGen", "ExampleValidator",
    "PictureStatistics", "Transform", "Trainer", "AlsoTest", "Baseline", "Evaluator",
    "ServingCheck",
    "RunReport", "Pusher",
}  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


def signs_run(
    images: Path,  # noqa: F811
    customer: Path,  # noqa: F811
    workspace: Workspace,
    *settings: str,
) -> dict[str, Any]:
    options = [
        option for setting in (*SETTINGS, UNCHANGED, *settings) for option in ("--set", setting)
    ]
    options += ["--also-test", str(customer)]
    where = ["--data", str(images), "--name", NAME, "--workspace", str(workspace.root)]
    done = subprocess.run(
        [str(SIGNS), "run", "--on", "kubeflow-local", *where, "--json", *options],
        capture_output=True,
        text=True,
        timeout=1700,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def versions(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.serving(NAME).iterdir())


@pytest.fixture(scope="module")
def first(
    images: Path,  # noqa: F811
    customer: Path,  # noqa: F811
    workspace: Workspace,
) -> dict[str, Any]:
    return signs_run(images, customer, workspace, "evaluate.min_accuracy_on.a-customer=0.3")


def compiled(workspace: Workspace, first: dict[str, Any], **options: Any) -> Path:
    """The first run's pipeline, compiled for another cluster."""
    job = Job.load(workspace.run_directory(NAME, first["run_id"]))
    path = workspace.root / "pipeline.yaml"
    path.write_text(compile_pipeline(job.config, ClusterOptions(image=IMAGE, **options)))
    return path


@pytest.mark.timeout(1800)
def test_the_whole_dag_ends_with_a_pushed_model_that_answered(
    first: dict[str, Any], workspace: Workspace
) -> None:
    assert first["status"] == "finished"
    assert first["accuracy"] >= 0.8
    assert first["blessed"] and first["infra_blessed"]
    assert versions(workspace) == [str(first["pushed_version"])]
    assert first["query"]["version"] == first["pushed_version"]
    assert first["query"]["images"] == first["counts"]["test"]
    assert first["query"]["accuracy"] == pytest.approx(first["accuracy"], abs=1e-6)
    [further] = first["also_tested"]
    assert (further["name"], further["images"], further["min_accuracy"]) == ("a-customer", 16, 0.3)
    assert 0.5 < further["accuracy"] <= 15 / 16
    assert set(first["components"]) == STEPS
    assert {component["state"] for component in first["components"].values()} == {"done"}
    assert "A stand-in runs this, not a cluster" in Path(first["log"]).read_text()


def record_of(workspace: Workspace, run_id: str) -> dict[str, Any]:
    path = workspace.root / "kubeflow" / "runs" / run_id / "run.json"
    return json.loads(path.read_text())


def test_artifacts_tell_of_the_object_store_and_not_of_a_containers_folders(
    first: dict[str, Any], workspace: Workspace
) -> None:
    executions = record_of(workspace, first["run_id"])["executions"]
    examples = executions["SpanGen"]["artifacts"]["examples"]
    assert examples["metadata"]["custom:span"] == 1  # TFX's way with names of its own
    blessing = executions["Evaluator"]["artifacts"]["blessing"]["metadata"]
    model = executions["Trainer"]["artifacts"]["model"]["uri"]
    assert blessing["blessed"] == 1
    assert blessing["current_model"] == model
    assert model.startswith("minio://mlpipeline/v2/artifacts/")
    assert "/pods/" not in json.dumps([each["artifacts"] for each in executions.values()])
    # Nothing was pushed before: the baseline is an artifact without a file.
    store = Store(workspace.root / "kubeflow" / "store")
    assert list(store.files(executions["Baseline"]["artifacts"]["model"]["uri"])) == []


def test_a_missing_secret_is_told_before_anything_runs(
    first: dict[str, Any], workspace: Workspace
) -> None:
    path = compiled(workspace, first, secret="absent")
    record = run(path, workspace, run_id="no-secret", backoff_scale=0)
    assert record.state == "FAILED"
    [execution] = record.executions.values()
    assert execution.attempts == 0
    [error] = execution.errors
    assert error.startswith('CreateContainerConfigError: secret "absent" not found.')


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_model_that_is_not_better_is_not_pushed(
    first: dict[str, Any],
    images: Path,  # noqa: F811
    customer: Path,  # noqa: F811
    workspace: Workspace,
) -> None:
    settings = ("evaluate.min_accuracy_change=0.5", "train.seed=1")
    second = signs_run(images, customer, workspace, *settings)
    assert second["status"] == "finished"
    assert not second["blessed"]
    [unmet] = [one for one in second["not_blessed_reasons"] if one["kind"] == "change"]
    assert unmet["threshold"] == 0.5 > unmet["value"]
    assert second["pushed_version"] is None
    assert versions(workspace) == [str(first["pushed_version"])]
    states = {name: one["state"] for name, one in second["components"].items()}
    # What has no input that is made anew is reused, and spans that are named.
    reused = {name for name, state in states.items() if state == "reused"}
    assert reused == {"CuratedSchema", "AlsoTest"}


def killing(after_s: dict[str, float]) -> Listener:
    """Kills the first attempt of some steps after so many seconds."""
    left = dict(after_s)

    def kill(task: str, pid: int) -> None:
        if task in left:
            threading.Timer(left.pop(task), os.kill, (pid, signal.SIGKILL)).start()

    return Listener(on_process=kill)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_steps_that_are_killed_are_tried_again_and_nothing_is_half_pushed(
    first: dict[str, Any], workspace: Workspace
) -> None:
    before = versions(workspace)
    path = compiled(workspace, first, retries=1)
    given = {"min_accuracy": 0.0, "min_corrupted_accuracy": 0.0, "train_steps": 5}
    given |= {"must_beat": "nothing", "significance": 0.0}
    given |= {"min_accuracy_on": '{"a-customer": null}'}
    # Each is still importing TFX, which takes 4 CPU-seconds, or just at work.
    killer = killing({"StatisticsGen": 2.0, "Trainer": 7.0, "Pusher": 2.0})
    record = run(path, workspace, given, backoff_scale=0, listener=killer)
    assert record.state == "COMPLETE"
    attempts = {name: execution.attempts for name, execution in record.executions.items()}
    killed = {name for name, count in attempts.items() if count == 2}
    assert killed == {"StatisticsGen", "Trainer", "Pusher"}
    assert record.executions["Trainer"].errors == ["signal: SIGKILL"]
    [pushed] = set(versions(workspace)) - set(before)
    assert pushed.isdecimal()
    target = record.executions["Pusher"].artifacts["pushed_model"].metadata["pushed_destination"]
    assert target == str(workspace.serving(NAME).resolve() / pushed)
    assert (workspace.serving(NAME) / pushed / "saved_model.pb").is_file()


def damaged(
    workspace: Workspace, first: dict[str, Any], damage: Any, *, retries: int = 1
) -> RunRecord:
    """A run whose examples are damaged in the store as soon as they are there."""

    def change(task: str, execution: Execution) -> None:
        if task == "SpanGen" and execution.state == "COMPLETE":
            store = Store(workspace.root / "kubeflow" / "store")
            for path in store.files(execution.artifacts["examples"].uri):
                damage(path)

    path = compiled(workspace, first, retries=retries)
    return run(path, workspace, backoff_scale=0, listener=Listener(on_change=change))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_truncated_artifact_fails_the_step_that_reads_it(
    first: dict[str, Any], workspace: Workspace
) -> None:
    before = versions(workspace)
    record = damaged(workspace, first, lambda path: os.truncate(path, path.stat().st_size // 2))
    assert record.state == "FAILED"
    assert list(record.executions)[-1] == "StatisticsGen"
    execution = record.executions["StatisticsGen"]
    assert execution.attempts == 2
    words = (
        "exit status 1: signs: StatisticsGen failed: ValueError: Not a valid TFRecord. Fewer than"
    )
    assert execution.errors[-1].startswith(words)
    assert versions(workspace) == before


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_artifact_that_the_store_lost_is_named(
    first: dict[str, Any], workspace: Workspace
) -> None:
    record = damaged(workspace, first, Path.unlink, retries=0)
    assert record.state == "FAILED"
    [error] = record.executions["StatisticsGen"].errors
    assert error.startswith(
        "exit status 1: signs: StatisticsGen failed: the input examples is empty"
    )


def logs(workspace: Workspace) -> list[Path]:
    return list((workspace.root / "kubeflow" / "runs").glob("*/logs/*.log"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_is_interrupted_leaves_no_process(
    first: dict[str, Any],
    images: Path,  # noqa: F811
    workspace: Workspace,
) -> None:
    where = ["--data", str(images), "--name", NAME, "--workspace", str(workspace.root)]
    command = [str(SIGNS), "run", "--on", "kubeflow-local", *where]
    before = logs(workspace)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as victim:
        deadline = time.monotonic() + 300
        while len(logs(workspace)) == len(before):
            assert victim.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        victim.send_signal(signal.SIGINT)
        output, _ = victim.communicate(timeout=60)
    assert victim.returncode == 130, output.decode()
    assert b"Continue: signs run --on kubeflow-local" in output
    running = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    here = str(workspace.root)
    assert [words for words in running if words and here in " ".join(words)] == []
