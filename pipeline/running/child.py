"""The process that does the heavy work of a run: `python -m pipeline.running.child FOLDER`.

job.json -> the DAG, then a query of what it pushed -> events.jsonl (as it happens), result.json

One model server is asked twice, about the candidate and about what was pushed. It starts beside the
Evaluator, which leaves it a core.

It is a process of its own so that the command line answers at once, can stop it or outlive its
death, and so that what the libraries print goes to a file. With `--exit-with-parent` it does not
outlive the command line: two workers at once would trip over each other's metadata and models.
"""

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pydantic import TypeAdapter

from modules.training.progress import TrainingProgress
from pipeline.config import PipelineConfig
from pipeline.environment import Environment
from pipeline.running.memory import PeakMemory
from pipeline.running.summary import RunResult
from pipeline.showing.events import (
    EVENTS,
    ComponentState,
    EventWriter,
    Phase,
    RunFinished,
    RunStarted,
    State,
    Training,
)
from signs import features
from signs.heavy_imports import heavy_imports
from signs.process import end_with_parent
from signs.tensorflow_notes import without_tensorflow_notes

if TYPE_CHECKING:
    from model_server import ServerProcess
    from pipeline.running.local_runner import NodeResult

EXIT_WITH_PARENT = "--exit-with-parent"  # ends when nobody holds the other end of its input
JOB = "job.json"
_LEAVES_A_CORE = "Evaluator"  # the last before the server is asked
IMPORTING, QUERYING = "importing TensorFlow and TFX", "serving and querying"  # phases


@dataclass(frozen=True)
class Job:
    """What to run, and where."""

    run_id: str
    config: PipelineConfig
    environment: Environment
    command: str = ""  # that started the run

    def save(self, run_directory: Path) -> None:
        """Writes the job where the worker looks for it."""
        path = run_directory / JOB
        path.write_bytes(TypeAdapter(Job).dump_json(self, indent=1))

    @classmethod
    def load(cls, run_directory: Path) -> "Job":
        """The job that `save` wrote."""
        return TypeAdapter(cls).validate_json((run_directory / JOB).read_bytes())


# Runs all components of a job, and tells of each as it goes. It may have them use the server.
Execute = Callable[[Path, Job, EventWriter, "ServerProcess"], Mapping[str, "NodeResult"]]


def main(argv: list[str]) -> int:
    """Runs the job of a run's folder; 0 if every component succeeded."""
    memory = PeakMemory()
    return work(argv, partial(_run_components, memory), memory)


def work(argv: list[str], execute: Execute, memory: PeakMemory | None = None) -> int:
    """Runs the job of a run's folder and keeps what came of it there.

    Args:
        argv: the folder, which has the job, and perhaps EXIT_WITH_PARENT.
        execute: runs its components, given the folder, the job, the writer of events and a model
            server, which need not be launched yet.
        memory: counts the run's; None for one that nobody else asks.

    Returns:
        The exit code: 0 if every component succeeded.
    """
    run_directory = Path(argv[0])
    if EXIT_WITH_PARENT in argv:
        end_with_parent()
    job = Job.load(run_directory)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    with EventWriter(run_directory / EVENTS) as events:
        try:
            with memory or PeakMemory() as memory:
                result = _run(run_directory, job, events, execute)
        except BaseException as err:
            traceback.print_exc()
            events.write(RunFinished(ok=False, message=_in_words(err)))
            return 1
        replace(result, peak_rss_mib=memory.mib).save(run_directory)
        events.write(RunFinished(ok=True))
    return 0


def _run(run_directory: Path, job: Job, events: EventWriter, execute: Execute) -> RunResult:
    with phase(events, IMPORTING), without_tensorflow_notes(), heavy_imports():
        import tensorflow as tf
        from tfx.types import artifact_utils

        from components.serving_check.server import quick_server
        from pipeline.running.query import query_served_model
        from pipeline.running.results import collect, pushed_version

        tf.config.list_physical_devices()

    with quick_server(job.environment.keys) as server:
        nodes = execute(run_directory, job, events, server)
        version = pushed_version(nodes)
        if version is None:
            return collect(nodes, job.config)
        examples = nodes["SpanGen"].outputs["examples"]
        test_examples = Path(artifact_utils.get_split_uri(examples, features.TEST))
        # One after the other: with the server asked from a second thread, the process crashed once.
        with phase(events, QUERYING):
            query = query_served_model(
                server, version.parent, job.config.pipeline_name, test_examples
            )
        return replace(collect(nodes, job.config), query=query)


def _run_components(
    memory: PeakMemory, run_directory: Path, job: Job, events: EventWriter, server: "ServerProcess"
) -> Mapping[str, "NodeResult"]:
    from components.serving_check.server import lent
    from pipeline.pipeline import create_pipeline
    from pipeline.running.local_runner import run_pipeline
    from pipeline.running.results import note

    def starts(node: str) -> None:
        memory.taken()  # what was before is not this one's
        events.write(ComponentState(node, "running"))
        if node == _LEAVES_A_CORE:
            server.launch()

    def ended(node: "NodeResult") -> None:
        state: State = "reused" if node.reused else "done"
        taken = memory.taken()
        events.write(ComponentState(node.id, state, node.seconds, note(node), taken))

    with lent(server), _told_of_trainings(events):
        return run_pipeline(
            create_pipeline(job.config, job.environment),
            job.run_id,
            engine=job.environment.engine,
            on_plan=lambda ids: events.write(RunStarted(tuple(ids))),
            on_start=starts,
            on_end=ended,
            on_fail=lambda node, error: events.write(
                ComponentState(node, "failed", message=_in_words(error))
            ),
        )


@contextmanager
def phase(events: EventWriter, name: str) -> Iterator[None]:
    """Tells when something begins that is no component, and how long it took."""
    begun = time.monotonic()
    events.write(Phase(name))
    yield
    events.write(Phase(name, time.monotonic() - begun))


@contextmanager
def _told_of_trainings(events: EventWriter) -> Iterator[None]:
    logger, handler = logging.getLogger("modules"), _TrainingEvents(events)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _TrainingEvents(logging.Handler):
    """Turns what a training logs of its progress into events."""

    def __init__(self, events: EventWriter) -> None:
        super().__init__()
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        if progress := TrainingProgress.parse(record.getMessage()):
            self._events.write(Training.of(progress))


def leave(code: int) -> NoReturn:
    """Ends the process as it is: to take TensorFlow and its graphs apart takes it seconds."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _in_words(error: BaseException) -> str:
    """An error on one line, without the traceback: that is in the log."""
    cause = error.__cause__ or error
    text = " ".join(str(cause).split())
    return text[:600] if text else type(cause).__name__


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
