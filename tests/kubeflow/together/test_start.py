"""The Trainer's step, where several pods train: it starts their job, awaits it, takes its model.

Kubernetes is a server on loopback, and the workers write what workers write.
"""

import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from kubeflow.compiling.options import ClusterOptions, Toleration, TrainingOptions
from kubeflow.compiling.platform import joint_training
from kubeflow.step import ending
from kubeflow.together import start
from kubeflow.together.cluster import Cluster, ClusterError
from kubeflow.together.exchange import Exchange
from kubeflow.together.manifest import RUNTIME
from modules.machines.workers import Workers
from modules.training.errors import TrainingError, WorkerLostError
from modules.training.job import TrainingJob
from modules.training.recipe import Recipe
from signs.process import killed_with_parent
from tests import ROOT
from tests.kubeflow.manifests import Manifest
from tests.kubeflow.together.fake_kubernetes import (
    IMAGE,
    NAMESPACE,
    POD,
    FakeKubernetes,
    pod,
    rules,
)
from tests.modules.conftest import transform_graph  # noqa: F401 - a fixture

OPTIONS = ClusterOptions(image=IMAGE, training=TrainingOptions(workers=2))
PROGRESS = '{"progress":{"epoch":1,"epochs":2,"step":3,"steps":4,"loss":1.0,"accuracy":0.5}}'


@pytest.fixture
def fn_args(tmp_path: Path) -> SimpleNamespace:
    """What TFX's Trainer hands over, the claim's folder of checkpoints in it."""
    for split in ("train", "eval"):
        (tmp_path / f"Split-{split}").mkdir()
        (tmp_path / f"Split-{split}" / "images-00000.gz").write_text(split)
    (tmp_path / "graph" / "transform_fn").mkdir(parents=True)
    (tmp_path / "graph" / "transform_fn" / "saved_model.pb").write_text("graph")
    job = TrainingJob(Recipe(epochs=2), ("a", "b"), 32, checkpoints=str(tmp_path / "claim/signs"))
    return SimpleNamespace(
        train_files=[str(tmp_path / "Split-train" / "*"), str(tmp_path / "Split-eval" / "*")],
        eval_files=[str(tmp_path / "Split-eval" / "*")],
        num_examples={"train": 4, "eval": 2},
        transform_graph_path=str(tmp_path / "graph"),
        base_model=None,
        hyperparameters={"values": {"learning_rate": 0.1}},
        serving_model_dir=str(tmp_path / "minio/run-1/Trainer/77/model/Format-Serving"),
        model_run_dir=str(tmp_path / "minio/run-1/Trainer/77/model_run"),
        custom_config=job.to_custom_config() | joint_training(OPTIONS).to_custom_config(),
    )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    monkeypatch.setenv("KFP_POD_NAME", POD)
    monkeypatch.setattr(start, "POLL_S", 0.02)
    with FakeKubernetes() as server:
        monkeypatch.setattr(Cluster, "here", server.cluster)
        yield server


def exchange_of(job: Manifest) -> Exchange:
    """The folder that a job's pods are told of."""
    spec = job["spec"]
    if job["kind"] == "TFJob":
        template = spec["tfReplicaSpecs"]["Worker"]["template"]
        [argument] = template["spec"]["containers"][0]["args"]
    else:
        [argument] = spec["trainer"]["args"]
    return Exchange(Path(argument.removeprefix("--arguments=")).parent)


def trains(server: FakeKubernetes, job: Manifest) -> None:
    """What an operator and the workers of a job do that succeeds."""
    server.pods = [pod(job, 0), pod(job, 1)]
    exchange = exchange_of(job)
    arguments = exchange.arguments()
    exchange.log.write_text(f"{PROGRESS}\n")
    for key in ("serving_model_dir", "model_run_dir"):
        Path(arguments[key]).mkdir(parents=True)
    Path(arguments["serving_model_dir"], "saved_model.pb").write_text("trained together")
    copy = Path(arguments["serving_model_dir"] + "-bfloat16")  # as modules.copies has it
    copy.mkdir()
    (copy / "saved_model.pb").write_text("in another precision")
    Path(arguments["model_run_dir"], "properties.json").write_text('{"workers": 2}')
    exchange.done()
    server.ends(job, "Complete" if job["kind"] == "TrainJob" else "Succeeded")


def fails(write: Callable[[Exchange], None], message: str = "") -> Callable[..., None]:
    def operator(server: FakeKubernetes, job: Manifest) -> None:
        write(exchange_of(job))
        server.ends(job, "Failed", message)

    return operator


def test_what_the_workers_made_becomes_the_steps_own(
    server: FakeKubernetes, fn_args: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Manifest] = []

    def operator(server: FakeKubernetes, job: Manifest) -> None:
        seen.append(json.loads(json.dumps(job)))
        arguments = exchange_of(job).arguments()
        seen.append(arguments)
        files = [sorted(Path(one).parent.glob("*")) for one in arguments["train_files"]]
        assert [[file.read_text() for file in group] for group in files] == [["train"], ["eval"]]
        assert arguments["eval_files"] == arguments["train_files"][1:]
        graph = Path(arguments["transform_graph_path"], "transform_fn/saved_model.pb")
        assert graph.read_text() == "graph"
        trains(server, job)

    server.operator = operator
    with caplog.at_level(logging.INFO, "kubeflow.together"):
        start.run_fn(fn_args)

    job, arguments = seen
    assert job["spec"]["trainer"]["image"] == IMAGE
    assert job["spec"]["trainer"]["numNodes"] == 2
    assert job["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": POD, "uid": "u-1"}
    ]
    for key in ("num_examples", "hyperparameters", "custom_config", "base_model"):
        assert arguments[key] == getattr(fn_args, key)
    assert Path(fn_args.serving_model_dir, "saved_model.pb").read_text() == "trained together"
    assert Path(f"{fn_args.serving_model_dir}-bfloat16", "saved_model.pb").is_file()
    assert json.loads(Path(fn_args.model_run_dir, "properties.json").read_text()) == {"workers": 2}
    name = job["metadata"]["name"]
    assert caplog.messages[0] == f"TrainJob {name} of 2 workers, in {NAMESPACE}"
    assert PROGRESS in caplog.messages
    assert server.violations == []
    assert "deletionTimestamp" in server.jobs[name]["metadata"]
    checkpoints = Path(str(TrainingJob.from_custom_config(fn_args.custom_config).checkpoints))
    assert list(checkpoints.iterdir()) == []


def test_a_tfjob_does_as_well(server: FakeKubernetes, fn_args: SimpleNamespace) -> None:
    server.kind, server.rules = "TFJob", rules("TFJob")
    options = replace(OPTIONS, training=replace(OPTIONS.training, job="TFJob", gpu=1))
    fn_args.custom_config |= joint_training(options).to_custom_config()
    jobs: list[Manifest] = []
    server.operator = lambda server, job: (jobs.append(job), trains(server, job))  # type: ignore[func-returns-value]
    start.run_fn(fn_args)
    assert server.violations == []
    worker = jobs[0]["spec"]["tfReplicaSpecs"]["Worker"]
    [container] = worker["template"]["spec"]["containers"]
    assert (worker["replicas"], container["image"]) == (2, IMAGE)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "env" not in container  # the operator sets TF_CONFIG
    assert Path(fn_args.serving_model_dir, "saved_model.pb").is_file()


def _lost_and_own(exchange: Exchange) -> None:
    exchange.fail(0, WorkerLostError("/job:worker/task:1"), "another worker has stopped")
    exchange.fail(1, TrainingError(""), "the loss is not a number")


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (_lost_and_own, "worker 1: the loss is not a number"),
        (
            lambda exchange: exchange.fail(0, WorkerLostError("x"), "another worker has stopped"),
            "worker 0: another worker has stopped",
        ),
        (lambda exchange: None, "the TrainJob signs-train-.* failed: Failed: jobset failed due to"),
    ],
)
def test_the_reason_of_a_failure_is_passed_on(
    server: FakeKubernetes,
    fn_args: SimpleNamespace,
    write: Callable[[Exchange], None],
    error: str,
) -> None:
    server.operator = fails(write, "jobset failed due to\none or more job failures")
    with pytest.raises(TrainingError, match=f"^{error}"):
        start.run_fn(fn_args)
    [job] = server.jobs.values()
    assert "deletionTimestamp" not in job["metadata"]  # for its pods' logs
    assert not Path(fn_args.serving_model_dir).exists()


def test_a_pod_without_words_of_its_own_is_looked_at(
    server: FakeKubernetes, fn_args: SimpleNamespace
) -> None:
    def operator(server: FakeKubernetes, job: Manifest) -> None:
        killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
        state = {"name": "node", "image": IMAGE, "imageID": "", "ready": False, "restartCount": 0}
        server.pods = [pod(job, 0), pod(job, 1, containerStatuses=[{**state, "state": killed}])]
        server.ends(job, "Failed", "jobset failed")

    server.operator = operator
    with pytest.raises(TrainingError, match=r"-1-abcde has ended: OOMKilled, exit code 137$"):
        start.run_fn(fn_args)


def test_an_attempt_ends_the_job_of_the_one_before_and_copies_nothing_again(
    server: FakeKubernetes, fn_args: SimpleNamespace
) -> None:
    server.operator = fails(_lost_and_own)
    with pytest.raises(TrainingError):
        start.run_fn(fn_args)
    [old] = server.jobs.values()
    folder = exchange_of(old).folder
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("inputs/*/*") if path.is_file()}
    half = folder / "inputs/files-0/images-00000.gz"
    half.write_text("tr")  # as where a pod was killed
    server.operator = trains

    def operator(server: FakeKubernetes, job: Manifest) -> None:
        assert "deletionTimestamp" in old["metadata"]
        assert half.read_text() == "train"
        assert exchange_of(job).error() is None
        del kept[half]
        assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items())
        trains(server, job)

    server.operator = operator
    start.run_fn(fn_args)
    assert Path(fn_args.serving_model_dir, "saved_model.pb").is_file()
    # All that the step's rights allow was needed, and nothing else was asked for.
    extra = {
        (verb, rule["apiGroups"][0], rule["resources"][0])
        for rule in rules("TrainJob")[-2:]
        for verb in rule["verbs"]
    }
    assert extra | {("get", "", "pods")} == set(server.asked) | {("list", "", "pods")}


def test_a_step_that_is_told_to_end_deletes_its_job(
    server: FakeKubernetes, fn_args: SimpleNamespace
) -> None:
    raised: list[Exception] = []

    def step() -> None:
        try:
            start.run_fn(fn_args)
        except TrainingError as err:
            raised.append(err)

    thread = threading.Thread(target=step, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while ("list", "", "pods") not in server.asked:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    ending.end()
    thread.join(20)
    assert not thread.is_alive()
    assert re.fullmatch("somebody has deleted the TrainJob signs-train-[0-9a-f]{16}", str(*raised))
    ending.end()  # there is nothing left to be done


def test_a_silent_server_is_waited_for_and_a_refusal_is_not(
    server: FakeKubernetes, fn_args: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.operator = trains
    faults = [("get trainjobs", 503), ("list pods", 500), ("get trainjobs", 429)]

    def operator(server: FakeKubernetes, job: Manifest) -> None:
        server.faults = list(faults)
        while server.faults and faults[0][1] != 403:
            time.sleep(0.01)
        trains(server, job)

    server.operator = operator
    start.run_fn(fn_args)
    faults = [("get trainjobs", 403)]
    with pytest.raises(ClusterError, match=r"cannot look at the TrainJob .*: fault 403; kubeflow"):
        start.run_fn(fn_args)
    monkeypatch.setattr(start, "PATIENCE_S", 0.0)
    server.jobs.clear()
    faults = [("get trainjobs", 503)] * 2
    with pytest.raises(ClusterError, match=r"fault 503$"):
        start.run_fn(fn_args)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, "this cluster has no TrainJob: kubeflow/README.md says what has to be installed"),
        (422, "cannot start the TrainJob signs-train-[0-9a-f]{16}: fault 422"),
    ],
)
def test_a_job_that_cannot_be_had(
    server: FakeKubernetes, fn_args: SimpleNamespace, status: int, error: str
) -> None:
    server.faults = [("create trainjobs", status)]
    with pytest.raises(ClusterError, match=error):
        start.run_fn(fn_args)


def test_outside_of_a_cluster(fn_args: SimpleNamespace) -> None:
    with pytest.raises(ClusterError, match="several workers are pods that Kubernetes starts"):
        start.run_fn(fn_args)


def test_a_job_that_leaves_no_model(
    server: FakeKubernetes, fn_args: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeflow.together.exchange._SEEN_WITHIN_S", 0.0)
    server.operator = lambda server, job: server.ends(job, "Complete")
    with pytest.raises(TrainingError, match=r"have left no model in .*: do they have the claim"):
        start.run_fn(fn_args)


# --- What the operator makes of the objects -------------------------------------------------------


def expanded(env: Sequence[Manifest], name: str, index: int) -> dict[str, str]:
    """The variables of one of a job's pods, as Kubernetes expands them: by those before."""
    fields = {
        "metadata.labels['jobset.sigs.k8s.io/jobset-name']": name,
        "metadata.annotations['batch.kubernetes.io/job-completion-index']": str(index),
    }
    values: dict[str, str] = {}
    for each in env:
        if "valueFrom" in each:
            values[each["name"]] = fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
        else:
            values[each["name"]] = re.sub(
                r"\$\((\w+)\)", lambda match: values.get(match[1], match[0]), each["value"]
            )
    return values


def environment(job: Manifest, index: int) -> dict[str, str]:
    """The variables of a pod: the runtime's, the job's in their places (see test_trainer.py)."""
    runtime = yaml.safe_load(RUNTIME.read_text())
    [node] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    [container] = node["template"]["spec"]["template"]["spec"]["containers"]
    own = {one["name"]: one for one in job["spec"].get("trainer", {}).get("env", [])}
    env = [own.pop(one["name"], one) for one in container["env"]]
    assert not own
    return expanded(env, job["metadata"]["name"], index)


@pytest.mark.parametrize("workers", [None, 2, 3])
def test_the_workers_know_each_other(
    workers: int | None,
    server: FakeKubernetes,
    fn_args: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job: Manifest = {"metadata": {"name": "mine"}, "spec": {}}  # by hand: the runtime's own
    if workers:
        options = replace(OPTIONS, training=replace(OPTIONS.training, workers=workers))
        fn_args.custom_config |= joint_training(options).to_custom_config()
        server.operator = lambda server, made: (job.update(made), trains(server, made))  # type: ignore[func-returns-value]
        start.run_fn(fn_args)
    name = job["metadata"]["name"]
    for index in range(workers or 2):
        monkeypatch.setenv("TF_CONFIG", environment(job, index)["TF_CONFIG"])
        known = Workers.from_environment()
        assert known.index == index
        assert known.addresses == tuple(
            f"{name}-node-0-{number}.{name}:2222" for number in range(workers or 2)
        )


def test_the_jobs_pods_get_what_the_options_say(
    server: FakeKubernetes, fn_args: SimpleNamespace
) -> None:
    training = TrainingOptions(
        workers=2, gpu=2, node_selector={"pool": "gpu"}, tolerations=(Toleration("spot", "Exists"),)
    )
    options = replace(
        OPTIONS, training=training, image_pull_secrets=("registry",), run_as_user=20002
    )
    fn_args.custom_config |= joint_training(options).to_custom_config()
    jobs: list[Manifest] = []
    server.operator = lambda server, job: (jobs.append(job), trains(server, job))  # type: ignore[func-returns-value]
    start.run_fn(fn_args)
    assert server.violations == []
    [patch] = jobs[0]["spec"]["runtimePatches"]
    [node] = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert node["name"] == "node"
    assert node["template"]["spec"]["template"]["spec"] == {
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [
            {"key": "spot", "operator": "Exists"},
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        ],
        "imagePullSecrets": [{"name": "registry"}],
        "securityContext": {"runAsUser": 20002},
    }
    resources = jobs[0]["spec"]["trainer"]["resourcesPerNode"]
    assert resources["limits"] == {"cpu": "8", "memory": "16Gi", "nvidia.com/gpu": "2"}


# --- Two real workers -----------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_steps_model_is_the_one_that_two_processes_have_trained(
    server: FakeKubernetes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    transform_graph: Path,  # noqa: F811
) -> None:
    """The job's pods are processes here; what they are told is the runtime's and the job's."""
    from components.trainer.executor import record
    from modules.copies import TRAINED_MODEL
    from tests.modules.dark_and_bright import SMALL
    from tests.modules.machines.test_distributed import free_ports
    from tests.modules.test_trainer import fn_args as examples

    recipe = Recipe(**{**SMALL, "batch_size": 4}, epochs=1, splits=("train",))
    given = examples(
        tmp_path, transform_graph, recipe, checkpoints=str(tmp_path / "claim"),
    )  # fmt: skip
    given.custom_config |= joint_training(OPTIONS).to_custom_config()
    made: dict[str, bytes] = {}

    def operator(server: FakeKubernetes, job: Manifest) -> None:
        server.pods = [pod(job, 0), pod(job, 1)]
        ports = iter(free_ports())
        spec = yaml.safe_load(RUNTIME.read_text())["spec"]["template"]["spec"]
        [container] = spec["replicatedJobs"][0]["template"]["spec"]["template"]["spec"][
            "containers"
        ]
        texts = [environment(job, index)["TF_CONFIG"] for index in (0, 1)]
        for host in json.loads(texts[0])["cluster"]["worker"]:
            here = f"localhost:{next(ports)}"
            texts = [text.replace(host, here) for text in texts]
        processes = [
            subprocess.Popen(
                [sys.executable, *container["command"][1:], *job["spec"]["trainer"]["args"]],
                cwd=ROOT,
                env={**os.environ, "TF_CONFIG": text},
                preexec_fn=killed_with_parent,
            )
            for text in texts
        ]
        codes = [process.wait(500) for process in processes]
        written = exchange_of(job).folder / "model"
        made.update(contents(written))
        server.ends(job, "Failed" if any(codes) else "Complete", str(codes))

    server.operator = operator
    start.run_fn(given)
    model = Path(given.serving_model_dir).parent
    assert contents(model) == made
    assert f"Format-Serving/{TRAINED_MODEL}" in made
    assert "Format-Serving-bfloat16/saved_model.pb" in made
    properties = json.loads(Path(given.model_run_dir, "properties.json").read_text())
    assert properties["workers"] == 2
    from tfx.types.standard_artifacts import Model

    artifact = Model()
    record(artifact, properties)
    assert artifact.get_int_custom_property("workers") == 2
