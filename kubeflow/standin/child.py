"""The process of `signs run --on kubeflow-local`: `-m kubeflow.standin.child RUN_DIRECTORY`.

job.json -> pipeline.yaml -> the stand-in -> events.jsonl; then, as for a local run, its results

Whatever ends it, the step that runs ends with it: the launcher sees to that.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kubeflow.standin.records import Execution
from modules.training.progress import TrainingProgress
from pipeline.code import code_digest
from pipeline.environment import Workspace
from pipeline.running.checkout import ROOT
from pipeline.running.child import Job, leave, phase, work
from pipeline.showing.events import ComponentState, EventWriter, RunStarted, State, Training

if TYPE_CHECKING:
    from model_server import ServerProcess
    from pipeline.running.local_runner import NodeResult

PIPELINE = "pipeline.yaml"
_NOTICE = (
    "A stand-in runs this, not a cluster: each step's command as Kubeflow Pipelines hands it over, "
    "but with this Python, no image and no Kubernetes. For development and CI."
)
_STATES: dict[str, State] = {
    "RUNNING": "running",
    "COMPLETE": "done",
    "CACHED": "reused",
    "FAILED": "failed",
}
# A second where a cluster waits half a minute: nothing here needs time to recover.
_BACKOFF_SCALE = 1 / 30
_TAIL_BYTES = 4096
_NO_STEP_IMPORTS = ("notebooks", "tests")


class StepFailedError(RuntimeError):
    """A step failed, however often it was tried."""


def main(argv: list[str]) -> int:
    """Runs the job of a run's folder; 0 if every step succeeded."""
    return work(argv, run_steps)


def run_steps(
    run_directory: Path, job: Job, events: EventWriter, server: "ServerProcess"
) -> Mapping[str, "NodeResult"]:
    """Compiles the pipeline, and runs what was compiled.

    Args:
        run_directory: the run's folder.
        job: what it has to do.
        events: where to tell of it.
        server: not used: each step is a process of its own, as on a cluster.

    Raises:
        StepFailedError: a step failed for good.
    """
    from kubeflow.compiling.compiler import compile_pipeline
    from kubeflow.compiling.options import ClusterOptions
    from kubeflow.standin.outcomes import outcomes_of
    from kubeflow.standin.runner import Listener, run

    print(_NOTICE, flush=True)
    workspace = Workspace(run_directory.parents[2])
    pipeline_yaml = run_directory / PIPELINE
    with phase(events, "compiling for Kubeflow"):
        options = ClusterOptions(image=f"signs@sha256:{checkout_digest()}")
        pipeline_yaml.write_text(compile_pipeline(job.config, options))

    def begun(tasks: Sequence[str]) -> None:
        events.write(RunStarted(tuple(tasks)))

    def changed(task: str, execution: Execution) -> None:
        if state := _STATES.get(execution.state):
            ended = execution.ended or time.time()
            seconds = None if state == "running" else ended - execution.started
            events.write(ComponentState(task, state, seconds, _note(execution)))
        for log in execution.logs[-1:]:
            print(f"{task}: {execution.state}, log {log}", flush=True)

    def running(task: str, log: Path) -> None:
        if training := last_training(log):
            events.write(training)

    record = run(
        pipeline_yaml,
        workspace,
        run_id=job.run_id,
        backoff_scale=_BACKOFF_SCALE,
        listener=Listener(on_begin=begun, on_change=changed, on_running=running),
    )
    for name, execution in record.executions.items():
        if execution.state == "FAILED":
            raise StepFailedError(f"{name} failed: {execution.errors[-1]}")
    return outcomes_of(record, workspace)


def last_training(log: Path) -> Training | None:
    """How far a training is, from the last line of its log that says so; None where none does."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    told = (TrainingProgress.parse(line) for line in reversed(lines))
    return next((Training.of(progress) for progress in told if progress), None)


def checkout_digest() -> str:
    """The digest of the code that runs, in the place of an image's: changed code is run anew."""
    packages = sorted(path.parent for path in ROOT.glob("*/__init__.py"))
    return code_digest(one for one in packages if one.name not in _NO_STEP_IMPORTS)


def _note(execution: Execution) -> str | None:
    if execution.state == "FAILED":
        return execution.errors[-1]
    if execution.errors:
        return f"attempt {execution.attempts}, after: {execution.errors[-1]}"
    return None


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
