"""Runs a compiled pipeline to its end, one step after the other, as KFP on Argo would.

pipeline.yaml -> plan -> for each task: driver -> cached outputs, or attempts -> run.json
                                                   workspace/kubeflow/store <-+
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kubeflow.standin.condition import ConditionError, will_trigger
from kubeflow.standin.driver import (
    DriverError,
    fingerprint,
    provision_outputs,
    resolve_inputs,
    resolve_parameter,
    root_parameters,
)
from kubeflow.standin.gojson import value_text, whole
from kubeflow.standin.launcher import Attempt, AttemptError, Outputs, launch
from kubeflow.standin.plan import Plan, Task, read_plan
from kubeflow.standin.pod import Cluster, PodError, claim_names, make_pod
from kubeflow.standin.records import Execution, Records, RunRecord
from kubeflow.standin.store import Store
from pipeline.environment import Workspace
from pipeline.running.checkout import ROOT
from pipeline.running.follow import last_error
from pipeline.running.history import new_run_id
from signs.errors import UserError

CLAIM = "signs-workspace"
DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"  # KFP's own
_DONE = ("COMPLETE", "CACHED")


class StandinError(UserError):
    """The stand-in cannot run this."""


@dataclass(frozen=True)
class Listener:
    """Is told what happens. Tasks are named by their names in the file."""

    on_plan: Callable[[Plan], None] = lambda plan: None
    on_change: Callable[[str, Execution], None] = lambda task, execution: None
    on_process: Callable[[str, int], None] = lambda task, pid: None  # a command has started
    on_running: Callable[[str, Path], None] = lambda task, log: None  # once a second, with its log


def standin_cluster(workspace: Workspace) -> Cluster:
    """The namespace that the stand-in offers by itself.

    The workspace is the volume of the claim `signs-workspace`, and this checkout lies at `/app`.
    Secrets are folders of files below `kubeflow/secrets/`; KFP's own for its object store is there.
    """
    return Cluster(
        claims={CLAIM: workspace.root.resolve()},
        secrets=workspace.root.resolve() / "kubeflow" / "secrets",
        known_secrets={
            "mlpipeline-minio-artifact": {"accesskey": "standin", "secretkey": "standin"}
        },
        image={"/app": ROOT},
    )


def run(
    pipeline_yaml: Path,
    workspace: Workspace,
    parameters: Mapping[str, Any] | None = None,
    *,
    run_id: str | None = None,
    pipeline_root: str | None = None,
    cluster: Cluster | None = None,
    backoff_scale: float = 1.0,
    listener: Listener | None = None,
) -> RunRecord:
    """Runs a pipeline.

    Args:
        pipeline_yaml: what `signs compile` wrote.
        workspace: keeps everything below `kubeflow/`, and is the claim's volume.
        parameters: values of the pipeline's parameters, in place of their defaults.
        run_id: of a run that was killed or failed, to go on with: its steps that are done stay so,
            as with KFP's "retry". None begins a new run.
        pipeline_root: an address in the object store; None takes the file's, or else KFP's own.
        cluster: claims and secrets; None takes `standin_cluster`.
        backoff_scale: seconds to wait before a retry for each second that a cluster waits.
        listener: is told what happens.

    Returns:
        The record. Its state is COMPLETE, or FAILED where a task failed for good.

    Raises:
        UserError: the file, a parameter or an earlier run's record cannot be used, or another run
            is at work in the workspace.
    """
    plan = read_plan(pipeline_yaml)
    root = workspace.root.resolve() / "kubeflow"
    with _only_run(root):
        records = Records(root / "runs")
        values = root_parameters(plan.inputs, parameters or {})
        run_id = run_id or new_run_id(datetime.now(UTC))
        pipeline_root = (pipeline_root or plan.root or DEFAULT_ROOT).rstrip("/")
        fresh = RunRecord(
            id=run_id,
            pipeline=plan.name,
            pipeline_root=f"{pipeline_root}/{plan.name}/{run_id}",
            digest=hashlib.sha256(pipeline_yaml.read_bytes()).hexdigest(),
            parameters={name: whole(_plain(value)) for name, value in values.items()},
        )
        record = records.load(run_id) or fresh
        if (record.digest, record.parameters) != (fresh.digest, fresh.parameters):
            raise StandinError(
                f"run {run_id} was begun with another pipeline or other parameters: begin a new run"
            )
        runner = _Runner(
            plan,
            values,
            record,
            records,
            Store(root / "store"),
            cluster or standin_cluster(workspace),
            root / "pods",
            backoff_scale,
            listener or Listener(),
        )
        runner.run()
    return record


@dataclass
class _Runner:
    plan: Plan
    parameters: Mapping[str, struct_pb2.Value]
    record: RunRecord
    records: Records
    store: Store
    cluster: Cluster
    pods: Path
    backoff_scale: float
    listener: Listener

    def run(self) -> None:
        self.listener.on_plan(self.plan)
        self.record.state = "RUNNING"
        for task in self.plan.tasks:
            if self._is_done(task.name):
                self._changed(task.name)
                continue
            execution = Execution(task.name, started=time.time())
            self.record.executions[task.name] = execution
            if all(self._is_done(name) for name in task.spec.dependent_tasks):
                self._run_task(task, execution)
            else:
                execution.state = "CANCELED"  # Argo: Omitted
            execution.ended = time.time()
            if execution.state == "FAILED":
                self.record.state = "FAILED"
            self._changed(task.name)
            if execution.state == "FAILED":
                return  # Argo's failFast: nothing new is started
        self.record.state = "COMPLETE"
        self.records.save(self.record)

    def _is_done(self, name: str) -> bool:
        execution = self.record.executions.get(name)
        return execution is not None and execution.state in _DONE

    def _changed(self, name: str) -> None:
        self.records.save(self.record)
        self.listener.on_change(name, self.record.executions[name])

    def _run_task(self, task: Task, execution: Execution) -> None:
        self._changed(task.name)
        try:
            executor_input = resolve_inputs(task, self.parameters, self.record.executions)
            if not will_trigger(executor_input, task.spec.trigger_policy.condition):
                execution.state = "CANCELED"
                return
            provision_outputs(task, self.record.pipeline_root, executor_input)
            execution.executor_input = whole(_plain(executor_input))
            claims = claim_names(task, self._text)
            execution.fingerprint = fingerprint(task, executor_input, claims)
            if execution.fingerprint and self._reuse(execution):
                return
            outputs = self._attempts(task, executor_input, execution)
        except (DriverError, ConditionError, PodError, AttemptError) as err:
            execution.errors.append(str(err))
            execution.state = "FAILED"
            return
        number = self.records.next_artifact_id()
        for artifact in outputs.artifacts.values():
            artifact.id = number
            number += 1
        execution.artifacts, execution.parameters = outputs.artifacts, outputs.parameters
        execution.state = "COMPLETE"

    def _reuse(self, execution: Execution) -> bool:
        found = self.records.cached(self.record.pipeline, execution.fingerprint)
        if found is None:
            return False
        execution.cached_from, earlier = found
        execution.artifacts, execution.parameters = earlier.artifacts, earlier.parameters
        execution.state = "CACHED"
        return True

    def _attempts(
        self, task: Task, executor_input: pb.ExecutorInput, execution: Execution
    ) -> Outputs:
        policy = task.spec.retry_policy
        wait_s = float(policy.backoff_duration.seconds)
        deadline = time.monotonic() + (policy.backoff_max_duration.seconds or float("inf"))
        while True:
            try:
                return self._attempt(task, executor_input, execution)
            except AttemptError as err:
                error = str(err)
                if reason := _reason(Path(execution.logs[-1])):
                    error += f": {reason}"
                if execution.attempts > policy.max_retry_count or time.monotonic() > deadline:
                    raise AttemptError(f"{error} (log: {execution.logs[-1]})") from err
                execution.errors.append(error)
                self._changed(task.name)
                time.sleep(wait_s * self.backoff_scale)
                wait_s *= policy.backoff_factor or 1.0

    def _attempt(
        self, task: Task, executor_input: pb.ExecutorInput, execution: Execution
    ) -> Outputs:
        number = execution.attempts
        # The same short name in each run: what a killed run left there goes, and a socket's path
        # below it stays within the 107 bytes that it may have.
        folder = self.pods / f"{task.name}-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        log = self.records.root / self.record.id / "logs" / f"{task.name}-{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        pod = make_pod(task, self.cluster, folder, self._text)
        execution.attempts += 1
        execution.logs.append(str(log))
        self._changed(task.name)
        attempt = Attempt(
            number,
            folder,
            log,
            pod,
            self.record.pipeline_root,
            working_directory=ROOT,
            started=lambda pid: self.listener.on_process(task.name, pid),
            running=lambda: self.listener.on_running(task.name, log),
        )
        try:
            return launch(task, executor_input, attempt, self.store)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _text(self, source: pb.TaskInputsSpec.InputParameterSpec) -> str:
        value = resolve_parameter("name", source, self.parameters, self.record.executions)
        return value_text(value)


def _reason(log: Path) -> str | None:
    """Why a step failed: what the entrypoint says last of all, or else the log's last error."""
    lines = log.read_text(errors="replace").rstrip().rsplit("\n", 1)
    return lines[-1] if lines[-1].startswith("signs: ") else last_error(log)


def _plain(message: Any) -> Any:
    return json_format.MessageToDict(message)


@contextmanager
def _only_run(root: Path) -> Iterator[None]:
    """Holds the stand-in: runs share its store and its folders."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise StandinError(f"another run is at work in {root}: wait for it") from None
    except OSError as err:
        raise StandinError(f"{root} cannot be written ({err.strerror})") from err
    try:
        yield
    finally:
        lock.release()
