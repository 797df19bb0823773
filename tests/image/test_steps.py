"""The whole DAG on the real SIGNS images, each step in a container of its own; then a server.

One epoch of the course's whole ResNet50: nothing is asked of its accuracy. The tests share one
workspace and run in the order in which they stand.
"""

import json
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubeflow.compiling.options import ClusterOptions
from kubeflow.standin.pod import Cluster
from kubeflow.standin.records import RunRecord
from kubeflow.standin.runner import run
from pipeline.environment import Workspace
from tests.image.build import Image
from tests.image.containers import LOCKED, USER, Containers, mib, own
from tests.image.docker import Docker

Say = Callable[[str], None]
SIGNS = Path(sys.executable).with_name("signs")
SETTINGS = (
    "train.epochs=1", "train.sizes=[[1.0,1.0]]", "train.drawn=0", "evaluate.min_accuracy=0",
    "evaluate.min_class_accuracy=0", "evaluate.min_corrupted_accuracy=0",
    "evaluate.max_calibration_error=1", "evaluate.must_beat=nothing",
)  # fmt: skip
_SERVES_S = 180


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("claim")
    own(root)
    return Workspace(root)


@pytest.fixture(scope="module")
def containers(docker: Docker, image: Image) -> Containers:
    return Containers(docker, image.id)


def cluster(workspace: Workspace, containers: Containers) -> Cluster:
    return Cluster(
        claims={ClusterOptions.claim: workspace.root},
        secrets=workspace.root / "kubeflow" / "secrets",
        known_secrets={"mlpipeline-minio-artifact": {"accesskey": "a", "secretkey": "s"}},
        start=containers.start,
    )


def compiled(workspace: Workspace, image: str, name: str, *options: str) -> Path:
    """What `signs compile` writes for the span that was ingested in a container."""
    output = workspace.root.with_name(f"{name}.yaml")
    manifest = workspace.root / "data" / "signs" / "span-1" / "v-1" / "manifest.json"
    settings = [option for setting in SETTINGS for option in ("--set", setting)]
    subprocess.run(
        [SIGNS, "compile", "--data", manifest, "--image", f"signs@{image}", "--output", output,
         "--workspace", workspace.root.with_name(f"{name}-compile"), *settings, *options],
        check=True,
    )  # fmt: skip
    return output


@pytest.fixture(scope="module")
def record(
    signs_data: Path, workspace: Workspace, containers: Containers, docker: Docker, image: Image
) -> RunRecord:
    ingested = docker.client(
        "run", "--rm", *LOCKED, "--memory=4g", "--tmpfs=/tmp",
        f"--mount=type=bind,source={workspace.root},target=/workspace",
        f"--mount=type=bind,source={signs_data},target=/incoming,readonly",
        image.id, "signs", "ingest", "/incoming/64x64_SIGNS.zip", "--name=signs",
        "--workspace=/workspace",
        check=False,
    )  # fmt: skip
    assert not ingested.returncode, ingested.stderr
    pipeline = compiled(workspace, image.id, "pipeline")
    return run(pipeline, workspace, cluster=cluster(workspace, containers), backoff_scale=0)


def test_the_whole_dag_runs_in_containers(
    record: RunRecord, containers: Containers, say: Say
) -> None:
    say(f"\n{'step':<20} {'seconds':>8} {'held':>9} {'peak':>9} {'limit':>10}")
    for name, usage in containers.usage.items():
        sizes = (f"{mib(size)} MiB" for size in (usage.held, usage.peak, usage.limit))
        say(f"{name:<20} {usage.seconds:>8.0f} " + " ".join(f"{size:>9}" for size in sizes))
    ends = {name: (one.state, one.attempts, *one.errors) for name, one in record.executions.items()}
    assert set(ends.values()) == {("COMPLETE", 1)}, ends
    assert record.state == "COMPLETE"
    verdicts = [
        record.executions[step].artifacts["blessing"].metadata
        for step in ("Evaluator", "ServingCheck")
    ]
    assert record.executions["Pusher"].artifacts["pushed_model"].metadata["pushed"] == 1, verdicts


def test_all_that_steps_wrote_is_their_users(record: RunRecord, workspace: Workspace) -> None:
    written = [path for name in ("data", "serving") for path in (workspace.root / name).rglob("*")]
    assert {path.stat().st_uid for path in written} == {USER}


@pytest.fixture
def server(docker: Docker, image: Image, workspace: Workspace, record: RunRecord) -> Iterator[str]:
    """A container that serves what was pushed, by its id."""
    started = docker.output(
        "run", "--rm", "--detach", *LOCKED, "--memory=2g", "--tmpfs=/tmp",
        f"--mount=type=bind,source={workspace.root}/serving,target=/workspace/serving,readonly",
        image.id, "signs-model-server", "--port=8500", "--rest_api_port=8501", "--model_name=signs",
        "--model_base_path=/workspace/serving/signs",
    ).strip()  # fmt: skip
    yield started
    docker.client("kill", started, check=False)


def test_a_container_answers_over_grpc(
    docker: Docker, image: Image, server: str, signs_data: Path, workspace: Workspace,
    tmp_path: Path, say: Say,
) -> None:  # fmt: skip
    photos = tmp_path / "photos"
    with zipfile.ZipFile(signs_data / "64x64_SIGNS.zip") as zipped:
        names = [name for name in zipped.namelist() if name.lower().endswith(".jpg")]
        for name in names[:3]:
            photos.mkdir(exist_ok=True)
            (photos / Path(name).name).write_bytes(zipped.read(name))
    own(photos)
    ask = [
        "run", "--rm", *LOCKED[:-1], f"--network=container:{server}", "--tmpfs=/tmp",
        f"--mount=type=bind,source={photos},target=/photos,readonly", image.id,
        "signs", "predict", "/photos", "--model=signs", "--address=127.0.0.1:8500", "--json",
    ]  # fmt: skip
    end = time.monotonic() + _SERVES_S
    while (answered := docker.client(*ask, check=False)).returncode:
        assert time.monotonic() < end, answered.stderr + docker.client("logs", server).stderr
    answers = json.loads(answered.stdout)
    say(f"\nover gRPC: {json.dumps(answers)[:300]}")
    assert len(answers) == 3
    classes = set(
        json.loads(next((workspace.root / "data").rglob("manifest.json")).read_text())[
            "class_names"
        ]
    )
    for answer in answers:
        assert answer["class_name"] in classes
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-3)


def test_a_step_without_its_memory_is_ended(
    record: RunRecord, workspace: Workspace, containers: Containers, image: Image
) -> None:
    options = workspace.root.with_name("small.options.yaml")
    options.write_text("retries: 0\nsteps: {memory_request: 100Mi, memory_limit: 150Mi}\n")
    pipeline = compiled(workspace, image.id, "small", "--cluster", str(options))
    small = run(pipeline, workspace, cluster=cluster(workspace, containers), backoff_scale=0)
    (failed,) = [one for one in small.executions.values() if one.state == "FAILED"]
    assert "exit status 137" in failed.errors[-1]
    assert containers.usage[failed.task].peak <= 150 * 2**20


def test_an_image_without_a_module_says_so(
    docker: Docker, record: RunRecord, workspace: Workspace, image: Image, tmp_path: Path
) -> None:
    text = f"FROM signs:test\nUSER 0\nRUN rm -r /app/components/span_gen\nUSER {USER}\n"
    docker.client(
        "build", "--network=none", "--tag=signs:broken", "--file=-", str(tmp_path), stdin=text
    )
    options = workspace.root.with_name("broken.options.yaml")
    options.write_text("retries: 0\n")
    pipeline = compiled(workspace, image.id, "broken", "--cluster", str(options))
    broken = Containers(docker, "signs:broken")
    ended = run(pipeline, workspace, cluster=cluster(workspace, broken), backoff_scale=0)
    (failed,) = [one for one in ended.executions.values() if one.state == "FAILED"]
    assert failed.task == "SpanGen"
    assert "Could not import components.span_gen.executor.Executor" in failed.errors[-1]
    shutil.rmtree(tmp_path)
