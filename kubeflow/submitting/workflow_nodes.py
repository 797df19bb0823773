"""Where the steps of a run stand, by the nodes of the Argo workflow that KFP tells of.

V2beta1Run.run_details.task_details -> states_of -> StepState of each step

KFP's compiler makes three or more nodes of a step (backend/src/v2/compiler/argocompiler/
container.go): `Trainer-driver`, `Trainer`, and below it `executor`, whose children are
`executor(0)`, `executor(1)`, ... where the step may be retried. Where the installation gives every
template retries, as KFP 2.17 does, all the others have such children too, and the name goes through
them: `RUN(0).root(0).Trainer(0).executor(0)` in the place of `RUN.root.Trainer.executor(0)`.

KFP tells the names and states of nodes and the ids of their children, but not their own ids and
pods (`toApiPipelineTaskDetail`, backend/src/apiserver/server/api_converter.go): those follow from
the names.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

from pipeline.showing.events import State

_OMITTED = (None, "RUNTIME_STATE_UNSPECIFIED")  # as Argo's "Omitted" is told: a parent has failed


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
    tree = _Tree.of(run)
    # What was begun anew has its name twice: the later one counts.
    by_name = {task.display_name: task for task in sorted(_tasks(run), key=_started)}

    def state(step: str) -> StepState:
        driver, main = by_name.get(f"{step}-driver"), by_name.get(step)
        if main is None or main.state in (*_OMITTED, "SKIPPED"):
            if driver is None or driver.state in (*_OMITTED, "PENDING"):
                return StepState()
            if driver.state == "FAILED":
                pod = tree.pod("system-container-driver", tree.last(f"{tree.root}.{step}-driver"))
                return _over(driver, "failed", note="before it began", pod=pod)
            skipped = main is not None and main.state == "SKIPPED"
            return StepState(note="skipped") if skipped else _running(driver)
        executor = f"{tree.last(f'{tree.root}.{step}')}.executor"
        attempts = tree.attempts(executor)
        is_retried = step in retried or tree.has_defaults
        again = f"attempt {attempts}" if attempts > 1 else ""
        match main.state:
            case "SUCCEEDED" if is_retried and not attempts:
                return _over(main, "reused")  # KFP's cache had it: no pod was made
            case "SUCCEEDED":
                return _over(main, "done", note=again)
            case "FAILED" | "CANCELED":
                template = f"{'retry-' if step in retried else ''}system-container-impl"
                has_pod = attempts or not is_retried
                pod = tree.pod(template, tree.last(executor)) if has_pod else ""
                note = again if main.state == "FAILED" else "canceled"
                return _over(main, "failed", note=note, pod=pod)
        return _running(main, note=again)

    return {step: state(step) for step in steps}


def start_failed(run: V2beta1Run) -> str:
    """The pod of the driver that reads the run's root and parameters, if that failed; else ""."""
    tree = _Tree.of(run)
    failed = any(t.display_name == "root-driver" and t.state == "FAILED" for t in _tasks(run))
    return tree.pod("system-dag-driver", tree.last(f"{tree.entry}.root-driver")) if failed else ""


@dataclass(frozen=True)
class _Tree:
    """The nodes of a workflow, by their whole names, as far as there are nodes above them."""

    workflow: str  # its name, with which the ids of all its nodes begin
    ids: frozenset[str]

    @classmethod
    def of(cls, run: V2beta1Run) -> "_Tree":
        ids = [
            child.pod_name
            for task in _tasks(run)
            for child in task.child_tasks or []
            if child.pod_name
        ]
        return cls(next(iter(ids), "").rpartition("-")[0], frozenset(ids))

    @property
    def has_defaults(self) -> bool:
        """Whether the installation gives every template retries."""
        return self.attempts(self.workflow) > 0

    @property
    def entry(self) -> str:
        """The node whose children are `root-driver` and `root`."""
        return self.last(self.workflow)

    @property
    def root(self) -> str:
        """The node whose children are the steps."""
        return self.last(f"{self.entry}.root")

    def attempts(self, name: str) -> int:
        """How often a node was begun; 0 where it is not retried, or not there."""
        return next(n for n in count() if self._id(f"{name}({n})") not in self.ids)

    def last(self, name: str) -> str:
        """The name of a node's last attempt; its own where it has none."""
        attempts = self.attempts(name)
        return f"{name}({attempts - 1})" if attempts else name

    def pod(self, template: str, name: str) -> str:
        """A node's pod, as `RetrievePodName` (backend/src/common/util/workflow.go) names it."""
        return f"{self.workflow}-{template}-{self._id(name).rpartition('-')[2]}"

    def _id(self, name: str) -> str:
        """Argo's id of a node: the workflow and the 32-bit FNV-1a hash of the node's whole name.

        As `Workflow.NodeID` (argo-workflows, pkg/apis/workflow/v1alpha1/workflow_types.go).
        """
        number = 0x811C9DC5
        for byte in name.encode():
            number = (number ^ byte) * 0x01000193 % 2**32
        return f"{self.workflow}-{number}"


def _tasks(run: V2beta1Run) -> list[V2beta1PipelineTaskDetail]:
    return (run.run_details and run.run_details.task_details) or []


def _started(task: V2beta1PipelineTaskDetail) -> float:
    return _seconds(task.start_time) or 0.0


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
