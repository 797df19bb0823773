"""Where the steps of a run stand, by the nodes of the Argo workflow that KFP tells of.

V2beta1Run.run_details.task_details -> states_of -> StepState of each step

KFP's compiler makes three or more nodes of a step (backend/src/v2/compiler/argocompiler/
container.go): `Trainer-driver`, `Trainer`, and below it `executor`, whose children are
`executor(0)`, `executor(1)`, ... where the step may be retried. KFP tells the names and states of
nodes and the ids of their children, but not their own ids and pods (`toApiPipelineTaskDetail`,
backend/src/apiserver/server/api_converter.go): those follow from the names.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

from pipeline.showing.events import State


@dataclass(frozen=True)
class StepState:
    """Where a step stands. Times are in seconds since 1970."""

    state: State = "waiting"
    started: float | None = None
    seconds: float | None = None
    note: str = ""
    pod: str = ""  # that failed: its log says why


def states_of(
    run: V2beta1Run, steps: Iterable[str], retried: Collection[str] = ()
) -> dict[str, StepState]:
    """Where each of `steps` stands; `retried` are those that have a retry policy."""
    tasks = _tasks(run)
    workflow = _workflow(tasks)
    by_name = {task.display_name: task for task in tasks}
    # Every step has an `executor`: whose it is, its first child tells.
    executors = [(_children(task), task) for task in tasks if task.display_name == "executor"]

    def state(step: str) -> StepState:
        driver, main = by_name.get(f"{step}-driver"), by_name.get(step)
        if main is None or main.state in (None, "RUNTIME_STATE_UNSPECIFIED", "SKIPPED"):
            if driver is None or driver.state in (None, "PENDING"):
                return StepState()
            if driver.state == "FAILED":
                pod = _pod(workflow, "system-container-driver", f"root.{step}-driver")
                return _over(driver, "failed", note="before it began", pod=pod)
            skipped = main is not None and main.state == "SKIPPED"
            return StepState(note="skipped") if skipped else _running(driver)
        first = _node_id(workflow, f"root.{step}.executor(0)")
        below = next((children for children, _ in executors if first in children), ())
        attempts = 0
        while _node_id(workflow, f"root.{step}.executor({attempts})") in below:
            attempts += 1
        again = f"attempt {attempts}" if attempts > 1 else ""
        match main.state:
            case "SUCCEEDED" if step in retried and not attempts:
                return _over(main, "reused")  # KFP's cache had it: no pod was made
            case "SUCCEEDED":
                return _over(main, "done", note=again)
            case "FAILED" | "CANCELED":
                note = again if main.state == "FAILED" else "canceled"
                return _over(main, "failed", note=note, pod=last_pod(step, attempts))
        return _running(main, note=again)

    def last_pod(step: str, attempts: int) -> str:
        if attempts:
            name = f"root.{step}.executor({attempts - 1})"
            return _pod(workflow, "retry-system-container-impl", name)
        if step in retried:
            return ""
        return _pod(workflow, "system-container-impl", f"root.{step}.executor")

    return {step: state(step) for step in steps}


def start_failed(run: V2beta1Run) -> str:
    """The pod of the driver that reads the run's root and parameters, if that failed; else ""."""
    tasks = _tasks(run)
    failed = any(t.display_name == "root-driver" and t.state == "FAILED" for t in tasks)
    return _pod(_workflow(tasks), "system-dag-driver", "root-driver") if failed else ""


def _tasks(run: V2beta1Run) -> list[V2beta1PipelineTaskDetail]:
    return (run.run_details and run.run_details.task_details) or []


def _children(task: V2beta1PipelineTaskDetail) -> tuple[str, ...]:
    return tuple(child.pod_name for child in task.child_tasks or [] if child.pod_name)


def _workflow(tasks: Iterable[V2beta1PipelineTaskDetail]) -> str:
    """The workflow's name, with which the ids of all its nodes begin."""
    ids = (child for task in tasks for child in _children(task))
    return next(ids, "").rpartition("-")[0]


def _node_id(workflow: str, name: str) -> str:
    """Argo's id of a node: the workflow and the 32-bit FNV-1a hash of the node's whole name.

    As `Workflow.NodeID` (argo-workflows, pkg/apis/workflow/v1alpha1/workflow_types.go).
    """
    number = 0x811C9DC5
    for byte in f"{workflow}.{name}".encode():
        number = (number ^ byte) * 0x01000193 % 2**32
    return f"{workflow}-{number}"


def _pod(workflow: str, template: str, name: str) -> str:
    """The pod of a node, as `RetrievePodName` (backend/src/common/util/workflow.go) names it."""
    number = _node_id(workflow, name).rpartition("-")[2]
    return f"{workflow}-{template}-{number}"


def _running(task: V2beta1PipelineTaskDetail, note: str = "") -> StepState:
    return StepState("running", _seconds(task.start_time), note=note)


def _over(
    task: V2beta1PipelineTaskDetail, state: State, *, note: str = "", pod: str = ""
) -> StepState:
    started, ended = _seconds(task.start_time), _seconds(task.end_time)
    took = max(0.0, ended - started) if started is not None and ended is not None else None
    return StepState(state, started, took, note, pod)


def _seconds(moment: datetime | None) -> float | None:
    """Go's zero time, the year 1, stands for what has not happened."""
    return moment.timestamp() if moment is not None and moment.year > 1970 else None
