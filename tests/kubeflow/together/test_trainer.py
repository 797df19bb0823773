"""What Kubeflow Trainer makes of our runtime and a step's job, told by Trainer's own code.

It is built where Go is, from Go's module proxy (backend/trainer).
"""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from kubeflow.compiling.options import ClusterOptions, TrainingOptions
from kubeflow.compiling.platform import joint_training
from kubeflow.together.manifest import job
from modules.machines.workers import Workers
from tests.golang import build as build_program
from tests.kubeflow.backend.observe import FOLDER
from tests.kubeflow.manifests import MANIFESTS, Manifest, build, only
from tests.kubeflow.together.fake_kubernetes import IMAGE
from tests.kubeflow.together.test_start import expanded

OWNER: Manifest = {"apiVersion": "v1", "kind": "Pod", "name": "step", "uid": "1"}


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built."""
    folder = tmp_path_factory.mktemp("trainer")
    build_program(FOLDER / "trainer", folder)
    return folder / "trainer"


def made(
    program: Path, options: TrainingOptions, **changed: str
) -> "subprocess.CompletedProcess[str]":
    """The job set of a job with these options, as JSON, or why there is none."""
    runtime = only(build(MANIFESTS / "jobs/train-together"), "TrainingRuntime")
    cluster = ClusterOptions(image=IMAGE, training=options, image_pull_secrets=("registry",))
    cluster = replace(cluster, run_as_user=20002)
    wanted = job(joint_training(cluster), "signs-train-0", IMAGE, ["--arguments=a"], OWNER)
    wanted["metadata"]["namespace"] = runtime["metadata"]["namespace"]  # type: ignore[index,call-overload]
    wanted["spec"]["runtimeRef"] |= changed  # type: ignore[index,call-overload,operator]
    return subprocess.run(
        [program], input=json.dumps({"runtime": runtime, "job": wanted}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_trainer_makes_the_pods_that_were_asked_for(
    trainer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions(workers=3, gpu=1, node_selector={"pool": "gpu"})
    told = made(trainer, options)
    assert told.returncode == 0, told.stderr
    (jobset,) = [each for each in json.loads(told.stdout) if each["kind"] == "JobSet"]
    assert jobset["metadata"]["name"] == "signs-train-0"
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] == 3
    (node,) = jobset["spec"]["replicatedJobs"]
    spec = node["template"]["spec"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (3, 3, 0)
    assert spec["podFailurePolicy"]["rules"][0]["action"] == "FailJob"
    pod = spec["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert [each["key"] for each in pod["tolerations"]] == ["nvidia.com/gpu"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["securityContext"]["runAsUser"] == 20002
    assert pod["securityContext"]["runAsNonRoot"] is True  # the runtime's own stay
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert (container["image"], container["args"]) == (IMAGE, ["--arguments=a"])
    assert container["command"][-1] == "kubeflow.together.worker"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    for index in range(3):
        values = expanded(container["env"], "signs-train-0", index)
        monkeypatch.setenv("TF_CONFIG", values["TF_CONFIG"])
        known = Workers.from_environment()
        assert known.index == index
        # The names of pods in a JobSet of this name (`Endpoints` of Trainer's plugin for it).
        assert known.addresses[index] == f"signs-train-0-node-0-{index}.signs-train-0:2222"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_trainer_refuses_a_runtime_that_was_not_applied(trainer: Path) -> None:
    told = made(trainer, TrainingOptions(workers=2), name="another")
    assert told.returncode == 1
    assert "specified trainingRuntime must be created before the TrainJob" in told.stderr
