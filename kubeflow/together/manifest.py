"""The job as Kubernetes takes it: a TrainJob of Kubeflow Trainer, or a TFJob of its predecessor.

JointTraining, manifests/jobs/train-together/runtime.yaml (what the pods are like) -> the object

A TrainJob refers to the runtime that was applied to the cluster; a TFJob holds the pods itself.
"""

import copy
import json
from pathlib import Path

import yaml
from pydantic import JsonValue

from kubeflow.together.joint_training import JointTraining
from modules.machines.workers import TF_CONFIG

Manifest = dict[str, JsonValue]

RUNTIME = Path(__file__).parents[1] / "manifests/jobs/train-together/runtime.yaml"
API = {"TrainJob": "trainer.kubeflow.org/v1alpha1", "TFJob": "kubeflow.org/v1"}
# The label by which the pods of a job are found.
OF_JOB = {
    "TrainJob": "jobset.sigs.k8s.io/jobset-name",
    "TFJob": "training.kubeflow.org/job-name",
}
_NAME = "signs-train-together"  # of the runtime
_NODE = "node"  # Trainer's name for the one kind of pod, and for its container
_PORT = 2222
# Whose changes of the runtime these are: Trainer wants a name in the form of a path.
_MANAGER = "signs/trainer-step"


def job(
    wanted: JointTraining, name: str, image: str, arguments: list[str], owner: Manifest
) -> Manifest:
    """The object to create.

    Args:
        wanted: the job.
        name: of the object: a letter, then letters, digits and dashes; 40 characters at most.
        image: of every pod.
        arguments: of the command that the runtime names.
        owner: a reference; with that object the job goes.
    """
    metadata: Manifest = {
        "name": name,
        "labels": {"app.kubernetes.io/part-of": "signs"},
        "ownerReferences": [owner],
    }
    spec = _train_job if wanted.kind == "TrainJob" else _tf_job
    return {
        "apiVersion": API[wanted.kind],
        "kind": wanted.kind,
        "metadata": metadata,
        "spec": spec(wanted, name, image, arguments),
    }


def _train_job(wanted: JointTraining, name: str, image: str, arguments: list[str]) -> Manifest:
    spec: Manifest = {
        "runtimeRef": {
            "apiGroup": API["TrainJob"].partition("/")[0],
            "kind": "TrainingRuntime",
            "name": _NAME,
        },
        "trainer": {
            "image": image,
            "args": list(arguments),
            "numNodes": wanted.workers,
            "resourcesPerNode": {key: dict(value) for key, value in wanted.resources.items()},
            # In the place of the runtime's own, which is for two.
            "env": [{"name": TF_CONFIG, "value": _tf_config(name, wanted.workers)}],
        },
    }
    if wanted.pod:
        pod: JsonValue = {"spec": {"template": {"spec": dict(wanted.pod)}}}
        jobs: JsonValue = [{"name": _NODE, "template": pod}]
        spec["runtimePatches"] = [
            {
                "manager": _MANAGER,
                "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}},
            }
        ]
    return spec


def _tf_config(name: str, workers: int) -> str:
    """By the names that JobSet gives its pods. Kubernetes puts the pod's number in its place."""
    hosts = [f"{name}-{_NODE}-0-{index}.{name}:{_PORT}" for index in range(workers)]
    cluster = json.dumps({"worker": hosts})
    return f'{{"cluster": {cluster}, "task": {{"type": "worker", "index": $(WORKER)}}}}'


def _tf_job(wanted: JointTraining, name: str, image: str, arguments: list[str]) -> Manifest:
    runtime = yaml.safe_load(RUNTIME.read_text())
    [node] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    template = copy.deepcopy(node["template"]["spec"]["template"])
    spec = template["spec"]
    del spec["restartPolicy"]  # the operator's own
    spec |= {**wanted.pod, "securityContext": spec["securityContext"] | _security(wanted)}
    [container] = spec["containers"]
    del container["env"]  # the operator sets TF_CONFIG
    container |= {
        "name": "tensorflow",  # the operator looks for this name
        "image": image,
        "args": list(arguments),
        "resources": {key: dict(value) for key, value in wanted.resources.items()},
        "ports": [{"name": "tfjob-port", "containerPort": _PORT}],
    }
    for volume in spec["volumes"]:
        if claim := volume.get("persistentVolumeClaim"):
            claim["claimName"] = wanted.claim
            for mount in container["volumeMounts"]:
                if mount["name"] == volume["name"]:
                    mount["mountPath"] = wanted.mount
    return {
        "runPolicy": {"backoffLimit": 3, "cleanPodPolicy": "Running"},
        "tfReplicaSpecs": {
            "Worker": {  # the first is the chief
                "replicas": wanted.workers,
                # When one pod is lost the others end with an error, and all begin again.
                "restartPolicy": "OnFailure",
                "template": template,
            }
        },
    }


def _security(wanted: JointTraining) -> dict[str, JsonValue]:
    own = wanted.pod.get("securityContext", {})
    assert isinstance(own, dict)
    return own
