"""Argo Workflows in small: walks the Workflow that KFP's compiler made and runs its pods.

Workflow -> templates with `{{...}}` filled in -> pods (pod.py), whose programs are KFP's own
Only what KFP's Workflows use is here: DAGs, containers, `depends`, `when`, retries by a limit.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TAG = re.compile(r"\{\{([^{}$]+)\}\}")
_VARIABLE = re.compile(r"\$\((\w+)\)")  # Kubernetes fills these in, in commands and arguments


@dataclass
class Attempt:
    """One pod of a step: what it was asked to run, and how that ended."""

    step: str
    index: int  # 0, and one more with each retry
    pod: dict[str, Any]  # the merged pod patch: `containers`, `volumes`, ...
    status: int
    log: Path


@dataclass
class Outcome:
    """How each node of the Workflow ended: Succeeded, Failed, Skipped or Omitted."""

    nodes: dict[str, str] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    failed_drivers: list[Path] = field(default_factory=list)  # their logs

    def of(self, step: str) -> list[Attempt]:
        """The attempts at a step's own container, in their order."""
        return [attempt for attempt in self.attempts if attempt.step == step]


class Argo:
    """Runs one Workflow.

    Args:
        workflow: as KFP's API server hands it to Argo.
        run_driver: (arguments, log) -> exit status; runs KFP's driver.
        run_pod: (pod patch, log) -> exit status; runs a step's pod.
        folder: for logs and the drivers' outputs.
    """

    def __init__(
        self,
        workflow: Mapping[str, Any],
        run_driver: Callable[[list[str], Path], int],
        run_pod: Callable[[dict[str, Any], Path], int],
        folder: Path,
    ) -> None:
        spec = workflow["spec"]
        self._templates = {template["name"]: template for template in spec["templates"]}
        self._globals = {
            "workflow.name": "signs-1",
            "workflow.creationTimestamp": "2026-01-01T00:00:00Z",
        }
        for each in spec["arguments"].get("parameters", []):
            self._globals[f"workflow.parameters.{each['name']}"] = each["value"]
        for name, value in workflow["metadata"].get("annotations", {}).items():
            self._globals[f"workflow.annotations.{name}"] = value  # KFP before 2.1
        self._entrypoint = spec["entrypoint"]
        self._run_driver, self._run_pod, self._folder = run_driver, run_pod, folder
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Runs to the end, successful or not."""
        self._template(self._entrypoint, self._entrypoint, {})
        return self._outcome

    def _template(
        self, name: str, path: str, inputs: Mapping[str, str]
    ) -> tuple[bool, dict[str, str]]:
        template = self._templates[name]
        scope = dict(self._globals)
        for each in template.get("inputs", {}).get("parameters", []):
            value = inputs.get(each["name"], each.get("default"))
            if value is None:
                raise ValueError(f"{name}: no value for the parameter {each['name']}")
            scope[f"inputs.parameters.{each['name']}"] = value
        if "dag" in template:
            return self._dag(template["dag"], path, scope), {}
        if "podSpecPatch" in template:
            return self._pod(template, path, scope), {}
        return self._driver(template, path, scope)

    def _dag(self, dag: Mapping[str, Any], path: str, scope: dict[str, str]) -> bool:
        waiting = {task["name"]: task for task in dag["tasks"]}
        states: dict[str, str] = {}
        while waiting:
            name = next(
                name
                for name, task in waiting.items()
                if not {need.removesuffix(".Succeeded") for need in _needs(task)} & waiting.keys()
            )
            states[name] = self._task(waiting.pop(name), f"{path}/{name}", scope, states)
            self._outcome.nodes[f"{path}/{name}"] = states[name]
        return not {"Failed", "Omitted"} & set(states.values())

    def _task(
        self, task: Mapping[str, Any], path: str, scope: dict[str, str], states: Mapping[str, str]
    ) -> str:
        if any(states[need.removesuffix(".Succeeded")] != "Succeeded" for need in _needs(task)):
            return "Omitted"
        task = _fill(task, scope)
        if "when" in task:
            left, right = task["when"].split(" != ")
            if left == right:
                # KFP reads a step that was not needed (a cached one) as done, by its parent DAG.
                return "Skipped"
        inputs = {
            each["name"]: each.get("value", each.get("default"))
            for each in task.get("arguments", {}).get("parameters", [])
        }
        done, outputs = self._template(task["template"], path, inputs)
        for name, value in outputs.items():
            scope[f"tasks.{task['name']}.outputs.parameters.{name}"] = value
        return "Succeeded" if done else "Failed"

    def _driver(
        self, template: Mapping[str, Any], path: str, scope: dict[str, str]
    ) -> tuple[bool, dict[str, str]]:
        folder = self._folder / path
        folder.mkdir(parents=True)
        outputs = template.get("outputs", {}).get("parameters", [])
        for each in outputs:
            scope[f"outputs.parameters.{each['name']}.path"] = str(folder / each["name"])
        container = _fill(template["container"], scope)
        done = self._run_driver(container["args"], folder / "log") == 0
        if not done:
            self._outcome.failed_drivers.append(folder / "log")
        values = {}
        for each in outputs:
            file = folder / each["name"]
            default = each["valueFrom"].get("default", "")
            values[each["name"]] = file.read_text() if file.exists() else default
        return done, values

    def _pod(self, template: Mapping[str, Any], path: str, scope: dict[str, str]) -> bool:
        step = path.split("/")[-2]
        strategy = _fill(template.get("retryStrategy", {}), scope)
        for index in range(int(strategy.get("limit", 0)) + 1):
            scope["retries"] = str(index)
            patch = json.loads(_fill(template["podSpecPatch"], scope))
            base = _fill(template["container"], scope)
            container = patch["containers"][0]
            container["env"] = [*base.get("env", []), *container.get("env", [])]
            log = self._folder / path / f"log-{index}"
            log.parent.mkdir(parents=True, exist_ok=True)
            status = self._run_pod(patch, log)
            self._outcome.attempts.append(Attempt(step, index, patch, status, log))
            if status == 0:
                return True
        return False


def with_variables(words: list[str], environment: Mapping[str, str]) -> list[str]:
    """Commands and arguments with `$(NAME)` filled in, as Kubernetes does; unknown ones stay."""
    return [_VARIABLE.sub(lambda m: environment.get(m[1], m[0]), word) for word in words]


def _needs(task: Mapping[str, Any]) -> list[str]:
    return [need for need in task.get("depends", "").split(" && ") if need]


def _fill(value: Any, scope: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _TAG.sub(lambda match: scope.get(match[1], match[0]), value)
    if isinstance(value, dict):
        return {key: _fill(each, scope) for key, each in value.items()}
    if isinstance(value, list):
        return [_fill(each, scope) for each in value]
    return value
