"""Argo's controller at the version that KFP 2.17 ships, with KFP's settings, and Workflows in it.

pipeline.yaml -> KFP's compiler -> the Workflow, its retries as KFP 2.17 writes them -> controller

The compiler is of KFP 2.0.5, the newest that can be had as a module, and knows no retries;
`with_retries` adds them as 2.17 does (argocompiler/container.go, addContainerExecutorTemplate).
"""

import copy
import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.control_plane import ControlPlane, dumped
from tests.cluster.waiting import until
from tests.kubeflow.backend.backend import compile_workflow
from tests.kubeflow.backend.observe import ROOT as STORE

Workflow = dict[str, Any]

_CONFIG = "workflow-controller-configmap"
_OVER = ("Succeeded", "Failed", "Error")
_EXECUTOR, _STEP = "system-container-executor", "system-container-impl"
_NUMBERS = itertools.count(1)
_RETRIES = ("max-count", "backoff-duration", "backoff-factor", "backoff-max-duration")


class Argo:
    """Runs Workflows while it is entered.

    Args:
        cluster: with Argo's CRDs.
        compiler: KFP's, a program.
        defaults: `workflowDefaults`, as an installation has them.
    """

    def __init__(self, cluster: ControlPlane, compiler: Path, defaults: Any) -> None:
        self._cluster, self._compiler = cluster, compiler
        config = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": _CONFIG, "namespace": "kubeflow"},
            "data": {
                name: yaml.safe_dump(value)
                for name, value in (
                    ("workflowDefaults", defaults),
                    ("metricsConfig", {"enabled": False}),
                    ("telemetryConfig", {"enabled": False}),
                )
            },
        }
        cluster.asked("apply", "-f", "-", given=dumped([config]))

    def __enter__(self) -> "Argo":
        self._process = self._cluster.launch(
            "workflow-controller",
            *("--namespaced", "--namespace", "kubeflow", "--configmap", _CONFIG),
            *("--executor-image", "argoexec"),
            LEADER_ELECTION_DISABLE="true",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.asked("delete", "workflow", "--all", "--wait=false")
        self._process.kill()  # without a leader's election it does not end when told to
        self._process.wait()

    def patch(self, file: Path) -> None:
        """Patches its settings, as the README does, and waits until it has read them."""
        log, said = self._cluster.log("workflow-controller"), "Configuration updated"
        before = log.read_text().count(said)
        self._cluster.asked("patch", "configmap", _CONFIG, "--patch-file", file)
        until(lambda: log.read_text().count(said) > before, "the controller reads its settings")

    def start(self, pipeline: Path) -> str:
        """Starts a compiled pipeline as a run of KFP's; the name of its Workflow."""
        name = f"signs-{next(_NUMBERS)}"
        workflow = compile_workflow(self._compiler, pipeline, {}, STORE, name)
        spec = next(yaml.safe_load_all(pipeline.read_text()))
        workflow = with_retries(workflow, spec["root"]["dag"]["tasks"])
        workflow["metadata"] |= {"name": name, "namespace": "kubeflow"}
        for of_the_server in ("generateName", "creationTimestamp"):
            workflow["metadata"].pop(of_the_server, None)
        workflow["spec"]["serviceAccountName"] = "signs-pipeline"
        self._cluster.asked("create", "-f", "-", given=json.dumps(workflow))
        return name

    def workflow(self, name: str) -> Workflow:
        """As the controller has it now."""
        found: Workflow = self._cluster.get("workflow", name)
        return found

    def ended(self, name: str, timeout_s: float = 300) -> Workflow:
        """Waits until it is over."""
        until(
            lambda: self.workflow(name).get("status", {}).get("phase") in _OVER,
            f"{name} is over", timeout_s,
        )  # fmt: skip
        return self.workflow(name)


def with_retries(workflow: Workflow, tasks: Mapping[str, Any]) -> Workflow:
    """The Workflow with the retries of its pipeline's tasks."""
    changed = copy.deepcopy(workflow)
    templates = {each["name"]: each for each in changed["spec"]["templates"]}
    names = [f"retry-{each}" for each in _RETRIES]
    executor, step = (copy.deepcopy(templates[name]) for name in (_EXECUTOR, _STEP))
    for template in (executor, step):
        template["name"] = f"retry-{template['name']}"
    executor["inputs"]["parameters"] += [{"name": name, "default": "0"} for name in names]
    step["inputs"]["parameters"] += [{"name": name} for name in names]
    (task,) = executor["dag"]["tasks"]
    task["template"] = step["name"]
    task["arguments"]["parameters"] += [
        {"name": name, "value": f"{{{{inputs.parameters.{name}}}}}"} for name in names
    ]
    limit, *backoff = (f"{{{{inputs.parameters.{name}}}}}" for name in names)
    step["retryStrategy"] = {
        "limit": limit,
        "backoff": dict(zip(("duration", "factor", "maxDuration"), backoff, strict=True)),
    }
    changed["spec"]["templates"] += [executor, step]
    for each in templates["root"]["dag"]["tasks"]:
        policy = tasks.get(each["name"], {}).get("retryPolicy")
        if policy and each.get("template") == _EXECUTOR:
            each["template"] = executor["name"]
            values = (
                str(policy["maxRetryCount"]), policy["backoffDuration"].rstrip("s"),
                str(int(policy["backoffFactor"])), policy["backoffMaxDuration"].rstrip("s"),
            )  # fmt: skip
            each["arguments"]["parameters"] += [
                {"name": name, "value": value} for name, value in zip(names, values, strict=True)
            ]
    return changed


def attempts(workflow: Workflow, step: str) -> list[tuple[str, str]]:
    """How each pod of a step ended: the controller's phase, and its words."""
    name = re.compile(rf"\.{re.escape(step)}(\(\d+\))?\.executor(\((\d+)\))?$")
    nodes = [each for each in workflow["status"]["nodes"].values() if each["type"] == "Pod"]
    found = [(name.search(each["name"]), each) for each in nodes]
    ordered = sorted((int(m[3] or 0), n["phase"], n.get("message", "")) for m, n in found if m)
    return [(phase, message) for _, phase, message in ordered]
