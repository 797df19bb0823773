"""Runs a compiled pipeline to its end, one step after the other, as KFP on Argo would.

pipeline.yaml -> for each task: driver -> cached outputs, or attempts -> run.json
                                           workspace/kubeflow/store <-+
"""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from pydantic import JsonValue

from kubeflow.compiling.options import MINIO_SECRET, ClusterOptions
from kubeflow.compiling.pipeline_file import Task, read_pipeline
from kubeflow.object_store import DEFAULT_ROOT
from kubeflow.standin.driver import (
    DriverError,
    fingerprint,
    provision_outputs,
    resolve_inputs,
    root_parameters,
)
from kubeflow.standin.gojson import whole
from kubeflow.standin.launcher import Attempt, AttemptError, launch
from kubeflow.standin.limits import check_limits
from kubeflow.standin.pod import Cluster, PodError, claim_names, make_pod
from kubeflow.standin.records import Artifact, Execution, Records, RunRecord
from kubeflow.standin.store import Store, store_of
from pipeline.environment import Workspace
from pipeline.running.checkout import ROOT
from pipeline.running.history import new_run_id
from pipeline.showing.follow import last_error
from signs import durable
from signs.errors import UserError

_DONE = ("COMPLETE", "CACHED")


class StandinError(UserError):
    """The stand-in cannot run this."""


@dataclass(frozen=True)
class Listener:
    """Is told what happens. Tasks are named by their names in the file."""

    on_begin: Callable[[Sequence[str]], None] = lambda tasks: None  # all tasks, in their order
    on_change: Callable[[str, Execution], None] = lambda task, execution: None
    on_process: Callable[[str, int], None] = lambda task, pid: None  # a command has started
    on_running: Callable[[str, Path], None] = lambda task, log: None  # once a second, with its log


def standin_cluster(workspace: Workspace) -> Cluster:
    """The namespace that the stand-in offers by itself.

    It has what a pipeline asks for that was compiled for no cluster in particular: the workspace
    is the volume of the claim, and this checkout is the image's code.
    Secrets are folders of files below `kubeflow/secrets/`; KFP's own for its object store is there.
    """
    return Cluster(
        claims={ClusterOptions.claim: workspace.root.resolve()},
        secrets=workspace.root.resolve() / "kubeflow" / "secrets",
        known_secrets={MINIO_SECRET: {"accesskey": "standin", "secretkey": "standin"}},
        image={ClusterOptions.code_root: ROOT},
    )


def run(
    pipeline_yaml: Path,
    workspace: Workspace,
    parameters: Mapping[str, JsonValue] | None = None,
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
    pipeline = read_pipeline(pipeline_yaml)
    check_limits(pipeline)
    root = workspace.root.resolve() / "kubeflow"
    with _only_run(root):
        records = Records(root / "runs")
        values = root_parameters(pipeline.parameters, parameters or {})
        run_id = run_id or new_run_id(datetime.now(UTC))
        pipeline_root = (pipeline_root or pipeline.root or DEFAULT_ROOT).rstrip("/")
        fresh = RunRecord(
            id=run_id,
            pipeline=pipeline.name,
            pipeline_root=f"{pipeline_root}/{pipeline.name}/{run_id}",
            digest=pipeline.digest,
            parameters={
                name: whole(json_format.MessageToDict(value)) for name, value in values.items()
            },
        )
        record = records.load(run_id) or fresh
        if (record.digest, record.parameters) != (fresh.digest, fresh.parameters):
            raise StandinError(
                f"run {run_id} was begun with another pipeline or other parameters: begin a new run"
            )
        runner = _Runner(
            pipeline.tasks,
            values,
            record,
            records,
            store_of(workspace),
            cluster or standin_cluster(workspace),
            root / "pods",
            backoff_scale,
            listener or Listener(),
        )
        runner.run()
    return record


@dataclass
class _Runner:
    tasks: Sequence[Task]
    parameters: Mapping[str, struct_pb2.Value]
    record: RunRecord
    records: Records
    store: Store
    cluster: Cluster
    pods: Path
    backoff_scale: float
    listener: Listener

    def run(self) -> None:
        self.listener.on_begin([task.name for task in self.tasks])
        self.record.state = "RUNNING"
        for task in self.tasks:
            if self._is_done(task.name):
                self._changed(task.name)
                continue
            execution = Execution(task.name, started=time.time())
            self.record.executions[task.name] = execution
            self._run_task(task, execution)
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
            provision_outputs(task, self.record.pipeline_root, executor_input)
            given = json_format.MessageToDict(executor_input)
            execution.executor_input = {name: whole(part) for name, part in given.items()}
            execution.fingerprint = fingerprint(task, executor_input, claim_names(task))
            if execution.fingerprint and self._reuse(execution):
                return
            artifacts = self._attempts(task, executor_input, execution)
        except (DriverError, PodError, AttemptError) as err:
            execution.errors.append(str(err))
            execution.state = "FAILED"
            return
        number = self.records.next_artifact_id()
        for artifact in artifacts.values():
            artifact.id = number
            number += 1
        execution.artifacts = artifacts
        execution.state = "COMPLETE"

    def _reuse(self, execution: Execution) -> bool:
        found = self.records.cached(self.record.pipeline, execution.fingerprint)
        if found is None:
            return False
        execution.cached_from, earlier = found
        execution.artifacts = earlier.artifacts
        execution.state = "CACHED"
        return True

    def _attempts(
        self, task: Task, executor_input: pb.ExecutorInput, execution: Execution
    ) -> dict[str, Artifact]:
        """Tries until one attempt is well, or the policy allows no other.

        As Argo does (`processNodeRetries` in workflow/controller/operator.go): retries must begin
        and end within `backoffMaxDuration` of the first start, and none is waited for that could
        not. The waits that are cut short here count in full.
        """
        policy = task.spec.retry_policy
        wait_s = float(policy.backoff_duration.seconds)
        end = time.monotonic() + policy.backoff_max_duration.seconds
        left_s = math.inf  # the first attempt takes as long as it takes
        while True:
            try:
                return self._attempt(task, executor_input, execution, left_s)
            except AttemptError as err:
                error = str(err)
                if reason := _reason(Path(execution.logs[-1])):
                    error += f": {reason}"
                left_s = end - time.monotonic() - wait_s
                allowed = 0 if self.cluster.retry_policy == "OnError" else policy.max_retry_count
                if execution.attempts > allowed or left_s < 0:
                    raise AttemptError(f"{error} (log: {execution.logs[-1]})") from err
                execution.errors.append(error)
                self._changed(task.name)
                time.sleep(wait_s * self.backoff_scale)
                end -= wait_s * (1 - self.backoff_scale)
                wait_s *= policy.backoff_factor or 1.0

    def _attempt(
        self, task: Task, executor_input: pb.ExecutorInput, execution: Execution, may_take_s: float
    ) -> dict[str, Artifact]:
        number = execution.attempts
        # The same short name in each run: what a killed run left there goes, and a socket's path
        # below it stays within the 107 bytes that it may have.
        folder = self.pods / f"{task.name}-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        log = self.records.root / self.record.id / "logs" / f"{task.name}-{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        pod = make_pod(task, self.cluster, folder)
        execution.attempts += 1
        execution.logs.append(str(log))
        self._changed(task.name)
        attempt = Attempt(
            number,
            folder,
            log,
            pod,
            self.record.pipeline_root,
            start=self.cluster.start,
            started=lambda pid: self.listener.on_process(task.name, pid),
            running=lambda: self.listener.on_running(task.name, log),
            may_take_s=may_take_s,
        )
        try:
            return launch(task, executor_input, attempt, self.store)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _reason(log: Path) -> str | None:
    """Why a step failed: what the entrypoint says last of all, or else the log's last error."""
    lines = log.read_text(errors="replace").rstrip().rsplit("\n", 1)
    return lines[-1] if lines[-1].startswith("signs: ") else last_error(log)


@contextmanager
def _only_run(root: Path) -> Iterator[None]:
    """Holds the stand-in: runs share its store and its folders."""
    with ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            stack.enter_context(durable.lock(root / ".lock", timeout_s=0))
        except durable.LockedError:
            raise StandinError(f"another run is at work in {root}: wait for it") from None
        except OSError as err:
            raise StandinError(f"{root} cannot be written ({err.strerror})") from err
        yield
