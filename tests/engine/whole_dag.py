"""The DAG on real images and on Prism, an engine of Beam's, with two pools of workers.

    make test-engine

Every job of Beam's is done by worker processes of the pools, one of which is killed at its work.
All that a run makes is what the local engine makes: files, statistics, metrics, weights.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from model_server.process import free_port

SIGNS = Path(sys.executable).with_name("signs")
PRISM = Path(os.environ.get("PRISM", "prism"))
TOKEN = "a-token-of-the-engine-test"
SMALL = (
    *("train.blocks=[1]", "train.width=8", "train.epochs=4", "image_size=32"),
    *("train.sizes=[[1.0,1.0]]", "train.drawn=0", "train.drawn_no_sign=0"),
    # Whatever it has learnt, it is pushed, so that it can be asked.
    *("evaluate.min_accuracy=0", "evaluate.min_class_accuracy=0", "evaluate.must_beat=nothing"),
    *("evaluate.min_corrupted_accuracy=0", "evaluate.max_calibration_error=1"),
)
AT_WORK_S = 6  # seconds of CPU: Beam took half of them, the rest is for what the job needs
PATIENCE_S = 1500
_STARTED = re.compile(r"worker (\S+): started as process (\d+)")


@dataclass
class Process:
    """A program that runs meanwhile, and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def said(self, pattern: str, seconds: float = 120) -> re.Match[str]:
        """Waits until the log has the pattern."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.text()):
                return found
            assert self.process.poll() is None, self.text()
            time.sleep(0.05)
        raise AssertionError(f"{self.log} never had {pattern}: {self.text()[-2000:]}")


@dataclass
class Engine:
    """Prism and two pools."""

    endpoint: str
    pools: tuple[Process, ...]
    token: Path
    options: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        found = [pool.said(r"listens on (127.0.0.1:\d+)")[1] for pool in self.pools]
        self.options = (
            *("--engine", "portable", "--job-endpoint", self.endpoint),
            *("--workers", f"external:{','.join(found)}"),
            *("--worker-token-file", str(self.token), "--job-limit", "600"),
        )


@contextlib.contextmanager
def started(command: list[str], log: Path) -> Iterator[Process]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield Process(process, log)
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def prism(log: Path) -> Iterator[str]:
    port = free_port()
    with started([str(PRISM), f"-job_port={port}", "-serve_http=false"], log) as process:
        process.said("Serving JobManagement")
        yield f"localhost:{port}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    token = folder / "token"
    token.write_text(TOKEN)
    pool = [str(SIGNS), "engine-pool", "--port", "0", "--token-file", str(token)]
    with (
        prism(folder / "prism.log") as endpoint,
        started(pool, folder / "pool-1.log") as one,
        started(pool, folder / "pool-2.log") as two,
    ):
        yield Engine(endpoint, (one, two), token)


def command(workspace: Path, data: Path, *options: str) -> list[str]:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    return [
        *(str(SIGNS), "run", "--json", "--data", str(data / "64x64_SIGNS.zip")),
        *("--workspace", str(workspace), *settings, *options),
    ]


def run(workspace: Path, data: Path, *options: str) -> dict:
    done = subprocess.run(
        command(workspace, data, *options), capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def local(folder: Path, signs_data: Path) -> Path:
    run(folder / "local", signs_data)
    return folder / "local"


@pytest.fixture(scope="module")
def portable(folder: Path, signs_data: Path, engine: Engine) -> Path:
    """A run on the engine, of whose workers one is killed as it works for a component."""
    workspace = folder / "portable"
    with (folder / "run.json").open("wb") as out, (folder / "run.log").open("wb") as log:
        running = subprocess.Popen(
            command(workspace, signs_data, *engine.options), stdout=out, stderr=log
        )
        name, number = victim(engine.pools[1], running)  # pools take jobs in turns: StatisticsGen's
        os.kill(number, signal.SIGKILL)
        assert running.wait(PATIENCE_S) == 0, (folder / "run.log").read_text()
    print(f"killed: worker {name}, process {number}")
    assert f"worker {name}: ended by signal 9" in engine.pools[1].text()
    return workspace


def victim(pool: Process, running: subprocess.Popen) -> tuple[str, int]:
    """The pool's first worker, once it has been at work for a while."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and running.poll() is None:
        if found := _STARTED.search(pool.text()):
            name, number = found[1], int(found[2])
            if sum(psutil.Process(number).cpu_times()[:2]) > AT_WORK_S:
                return name, number
        time.sleep(0.05)
    raise AssertionError("no worker was ever at work")


def artifact(workspace: Path, component: str, output: str) -> Path:
    found = (workspace / "artifacts" / "signs" / component / output).iterdir()
    return max(found, key=lambda path: int(path.name))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "beam-temp" not in str(path)
    }


def statistics(folder: Path) -> dict[str, bytes]:
    """TFDV's, whose features come in the order of a map."""
    found = {}
    for path in sorted(folder.glob("Split-*/FeatureStats.pb")):
        read = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
        for dataset in read.datasets:
            features = sorted(dataset.features, key=lambda one: one.name or str(one.path))
            del dataset.features[:]
            dataset.features.extend(features)
        found[path.parent.name] = read.SerializeToString(deterministic=True)
    return found


def metrics(folder: Path) -> dict:
    import tensorflow_model_analysis as tfma

    return {
        str(place.relative_to(folder)): {
            str(key): value for key, value in tfma.load_eval_result(str(place)).slicing_metrics
        }
        for place in (folder, folder / "corrupted")
        if place.is_dir()
    }


def weights(workspace: Path) -> dict[str, np.ndarray]:
    [path] = artifact(workspace, "Trainer", "model").rglob("trained.keras")
    found: dict[str, np.ndarray] = {}

    def keep(name: str, value: object) -> None:
        if isinstance(value, h5py.Dataset):
            found[name] = value[()]

    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as file:
        h5py.File(file).visititems(keep)
    return found


def test_a_killed_worker_is_noticed_and_its_job_done_by_the_other_pool(
    portable: Path, engine: Engine, folder: Path
) -> None:
    [log] = (portable / "logs").glob("*.log")
    assert re.search(
        r"a job failed on the engine, and is sent again: .*SDK worker disconnected",
        log.read_text(errors="replace"),
    )
    assert all(_STARTED.search(pool.text()) for pool in engine.pools)
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"


def test_the_files_of_the_span_are_the_same(local: Path, portable: Path) -> None:
    one, other = (
        files(workspace / "data" / "signs" / "span-1" / "v-1") for workspace in (local, portable)
    )
    manifests = [json.loads(found.pop("manifest.json")) for found in (one, other)]
    for manifest in manifests:
        del manifest["created"], manifest["checksum"]
    assert one == other
    assert manifests[0] == manifests[1]
    assert sum(name.endswith(".tfrecord.gz") for name in one) > 2


@pytest.mark.parametrize("component", ["StatisticsGen", "PictureStatistics"])
def test_statistics_are_the_same(local: Path, portable: Path, component: str) -> None:
    one, other = (
        statistics(artifact(workspace, component, "statistics")) for workspace in (local, portable)
    )
    assert sorted(one) == ["Split-eval", "Split-test", "Split-train"]
    assert one == other


def test_leaks_are_the_same(local: Path, portable: Path) -> None:
    one, other = (
        files(artifact(workspace, "LeakageGuard", "leaks")) for workspace in (local, portable)
    )
    assert len(one) == 2
    assert one == other


def test_metrics_are_the_same(local: Path, portable: Path) -> None:
    one, other = (
        metrics(artifact(workspace, "Evaluator", "evaluation")) for workspace in (local, portable)
    )
    assert len(one["."]) > 6  # all images, and each class
    assert json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_weights_are_the_same(local: Path, portable: Path) -> None:
    one, other = weights(local), weights(portable)
    assert len(one) > 10
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_another_port_of_the_engine_makes_nothing_anew(
    portable: Path, engine: Engine, folder: Path, signs_data: Path
) -> None:
    with prism(folder / "prism-2.log") as endpoint:
        options = [endpoint if word == engine.endpoint else word for word in engine.options]
        again = run(portable, signs_data, *options)
    states = {name: step["state"] for name, step in again["components"].items()}
    assert {name for name, state in states.items() if state != "reused"} <= {
        "Baseline", "EarlierSpan", "Pusher",
    }  # fmt: skip
    assert again["reused_model"]


def test_answers_for_a_whole_source_are_the_same(
    local: Path, engine: Engine, folder: Path, signs_data: Path
) -> None:
    answers = []
    for name, options in (("local", ()), ("portable", engine.options)):
        out = folder / f"{name}.csv"
        ask = [str(SIGNS), "predict", "--bulk", str(signs_data / "64x64_SIGNS.zip")]
        ask += ["--out", str(out), "--workspace", str(local), *options]
        done = subprocess.run(ask, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stdout + done.stderr
        answers.append(out.read_bytes())
    assert answers[0] == answers[1]
    assert answers[0].count(b"\n") > 1000


def test_workers_as_processes_of_the_engine(
    local: Path, engine: Engine, folder: Path, signs_data: Path
) -> None:
    """Without a pool; and none of them outlives its job."""
    ingest = [str(SIGNS), "ingest", str(signs_data / "64x64_SIGNS.zip")]
    ingest += ["--workspace", str(folder / "process"), "--engine", "portable"]
    ingest += ["--job-endpoint", engine.endpoint, "--workers", "process"]
    done = subprocess.run(ingest, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    one, other = (
        files(workspace / "data" / "signs" / "span-1" / "v-1" / "train")
        for workspace in (local, folder / "process")
    )
    assert one == other
