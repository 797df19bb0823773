"""Builds the overlays as a cluster's user does, for the tests of what comes out."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import ROOT

MANIFESTS = ROOT / "kubeflow" / "manifests"
OVERLAYS = (
    "engines/flink",
    "overlays/cpu",
    "overlays/gateway",
    "overlays/gpu",
    "overlays/kserve",
    "jobs/ingest",
    "jobs/monitor",
    "jobs/predict",
    "jobs/train-together",
    "jobs/train-together-v1",
    "jobs/workbench",
)

Manifest = dict[str, Any]


def build(folder: Path) -> list[Manifest]:
    """The objects of a kustomization; skips the test where no kustomize is installed."""
    if shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    elif shutil.which("kustomize"):
        command = ["kustomize", "build"]
    else:
        pytest.skip("neither kubectl nor kustomize is on the PATH: overlays cannot be built")
    built = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return list(yaml.safe_load_all(built.stdout))


def of_kind(objects: list[Manifest], kind: str) -> list[Manifest]:
    """Those of one kind."""
    return [each for each in objects if each["kind"] == kind]


def only(objects: list[Manifest], kind: str) -> Manifest:
    """The one of its kind."""
    (found,) = of_kind(objects, kind)
    return found


def pods(objects: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """The pods that the objects make: who makes it, and the pod with its metadata."""
    for each in objects:
        name = f"{each['kind']}/{each['metadata']['name']}"
        match each["kind"]:
            case "Deployment" | "Job" | "StatefulSet":
                yield name, each["spec"]["template"]
            case "CronJob":
                yield name, each["spec"]["jobTemplate"]["spec"]["template"]
            case "TFJob":
                for replicas in each["spec"]["tfReplicaSpecs"].values():
                    yield name, replicas["template"]
            case "TrainingRuntime":
                for job in each["spec"]["template"]["spec"]["replicatedJobs"]:
                    yield name, job["template"]["spec"]["template"]


def containers(pod: Manifest) -> list[Manifest]:
    """Its containers, those that run first included."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
