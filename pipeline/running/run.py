"""One local run, as the command line asks for it: ingest, then the worker process, then a summary.

source -> data.converting -> span -> Job -> pipeline.running.child (its own process) -> RunSummary
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.console import Console

from data.findings import OF_COPIES, Finding
from data.leaks.report import Leaks
from data.sources.layouts.answers import NO_ANSWERS, Answers
from data.test_set import sources_by_name
from data.window.choice import ALL, Choice
from data.window.window import window
from pipeline.config import PipelineConfig, default_config, override
from pipeline.environment import Workspace
from pipeline.keeping import metadata_file
from pipeline.keeping.holding import hold
from pipeline.running.checkout import ROOT, kubeflow
from pipeline.running.child import EXIT_WITH_PARENT, Job
from pipeline.running.estimate import finished_before, forecast, in_words
from pipeline.running.examples import write_examples
from pipeline.running.history import in_place, load_run, mark_running, new_run_id
from pipeline.running.ingesting import render_ingested
from pipeline.running.inputs import Inputs, check_settings, data_of, ingest_inputs
from pipeline.running.report import link_tensorboard, write_report
from pipeline.running.room import lacking
from pipeline.running.summary import ComponentSummary, RunResult, RunSummary
from pipeline.showing.events import EVENTS, EventReader
from pipeline.showing.follow import follow
from pipeline.showing.wording import say, tell
from signs.errors import UserError

# "local": TFX's components in one process; "kubeflow-local": the stand-in for a cluster.
Runner = Literal["local", "kubeflow-local"]
_WORKERS: dict[Runner, str] = {
    "local": "pipeline.running.child",
    "kubeflow-local": "kubeflow.standin.child",
}
_SCRATCH_PREFIX = ".scratch-"


def run(
    source: str,
    workspace: Workspace,
    console: Console,
    *,
    name: str | None = None,
    answers: Answers = NO_ANSWERS,
    also_test: Sequence[str] = (),
    settings: Sequence[str] = (),
    spans: str = ALL,
    max_rejected: float = 0.01,
    beam_args: Sequence[str] = (),
    on: Runner = "local",
    resume: str = "signs run",
    unless_known: bool = False,
) -> RunSummary:
    """Runs the whole pipeline: from images to a served and queried model.

    Args:
        source: what `data.converting.convert.ingest` takes.
        workspace: holds all that the run makes.
        console: where to show the run.
        name: of the data set; None lets the source say.
        answers: what the user says of a source that does not say it itself.
        also_test: further test sets, see `data.test_set.sources_by_name`.
        settings: `name=value`, see `pipeline.config.override`.
        spans: which of the source's spans are read, see `data.window.choice`.
        max_rejected: fraction of each source's files that may be unusable, in [0, 1].
        beam_args: passed on to Beam, both for the ingestion and for TFX's components.
        on: what runs the components.
        resume: the command line that starts the run again, to tell the user.
        unless_known: whether to run only where the last run was not of the very same, and finished.

    Returns:
        What came of it; also kept in the run's folder. Its status says whether it finished. Of that
        last run, where there was nothing to do.

    Raises:
        UserError: a mistake in the arguments or the data, or another run holds the workspace.
    """
    test_sets = sources_by_name(also_test)
    check_settings(settings, test_sets)
    Choice.parse(spans)
    if on == "kubeflow-local":
        kubeflow("standin")  # not there in an installed package: told now as well
    with hold(workspace, "signs run"):
        metadata_file.check(workspace)
        if metadata_file.make_relative(workspace):
            say(console, f"{workspace.root} is of an older version: it may be moved from now on")
        inputs = ingest_inputs(
            source,
            test_sets,
            workspace,
            console,
            name=name,
            answers=answers,
            max_rejected=max_rejected,
            beam_args=beam_args,
        )
        if unless_known:
            config = _config(inputs, spans, settings)
            if earlier := finished_before(config, workspace.runs(config.pipeline_name)):
                return load_run(earlier)
        for one in (inputs.data, *inputs.also_test):
            render_ingested(console, one)
        return run_ingested(
            inputs,
            workspace,
            console,
            settings=settings,
            spans=spans,
            beam_args=beam_args,
            on=on,
            resume=resume,
        )


def run_ingested(
    inputs: Inputs,
    workspace: Workspace,
    console: Console,
    *,
    settings: Sequence[str],
    spans: str = ALL,
    beam_args: Sequence[str],
    on: Runner = "local",
    resume: str,
) -> RunSummary:
    """Runs the pipeline on spans; the caller holds the workspace. See `run`."""
    ingested, config = inputs.data, _config(inputs, spans, settings)
    data = config.data
    started = datetime.now(UTC)
    run_id = new_run_id(started)
    expected = None
    if on == "local":
        earlier = workspace.runs(config.pipeline_name)
        expected = forecast(config, earlier)
        tell(console, in_words(config, expected, earlier))
        for words in lacking(config, workspace.root):
            tell(console, words)
    directory = workspace.run_directory(config.pipeline_name, run_id).resolve()
    directory.mkdir(parents=True)
    log = workspace.log(run_id).resolve()
    log.parent.mkdir(parents=True, exist_ok=True)
    # The worker stands in the workspace: what it keeps there names no place outside.
    environment = Workspace(Path()).environment(
        data.name, tuple(beam_args), signed=workspace.private_key.exists()
    )
    Job(run_id, config, environment, resume).save(directory)
    mark_running(directory)

    begun = time.monotonic()
    for leftover in workspace.root.glob(f"{_SCRATCH_PREFIX}*"):  # of a run that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    scratch = tempfile.TemporaryDirectory(
        prefix=_SCRATCH_PREFIX, dir=workspace.root.resolve(), ignore_cleanup_errors=True
    )
    with (
        scratch,
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", _WORKERS[on], str(directory), EXIT_WITH_PARENT],
            # `kubeflow` is not installed: Python finds it, and no SDK of that name, from there.
            cwd=ROOT if on == "kubeflow-local" else workspace.root,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                # By the time that the Trainer could ask for it, other components have started
                # TensorFlow; without it they take a GPU's whole memory, the model servers' too.
                "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                **os.environ,
                # What Beam and TensorFlow leave behind goes with the run.
                "TMPDIR": scratch.name,
                # Else `data/` of the workspace would hide the package of that name.
                **({} if on == "kubeflow-local" else {"PYTHONSAFEPATH": "1"}),
            },
        ) as process,
    ):
        end = follow(
            EventReader(directory / EVENTS),
            process,
            console,
            title=f"{config.pipeline_name}: {sum(data.counts.values()):,} images, run {run_id}",
            log=log,
            resume=resume,
            forecast=expected,
            advice=dict.fromkeys(("Trainer", "Tuner"), _memory_advice(config)),
        )
    result = RunResult.load(directory) if end.status == "finished" else RunResult()
    components = {
        step.name: ComponentSummary(step.state, step.seconds) for step in end.state.components
    }
    trainer = components.get("Trainer")
    summary = RunSummary(
        **vars(result),
        run_id=run_id,
        pipeline=config.pipeline_name,
        status=end.status,
        started=started,
        duration_s=time.monotonic() - begun,
        dataset=data.name,
        span=ingested.span,
        version=ingested.version,
        spans=window(ingested.directory, spans).numbers,
        counts=data.counts,
        findings=(
            *with_leaks(ingested.manifest.findings, result.leaks),
            *(result.pictures.findings if result.pictures else ()),
        ),
        components=components,
        component_peak_mib=end.state.peaks,
        training_s=trainer.seconds if trainer and trainer.state == "done" else None,
        error=end.error,
    )
    if workspace.serving(config.pipeline_name).is_dir():
        write_examples(workspace, config.pipeline_name)  # what to try the model on
    summary = in_place(summary, workspace)
    summary.save(directory)
    link_tensorboard(directory)
    with contextlib.suppress(UserError):  # the run is whole without its page
        write_report(workspace, summary)
    return summary


def _config(inputs: Inputs, spans: str, settings: Sequence[str]) -> PipelineConfig:
    return override(default_config(data_of(inputs.data, spans), inputs.further_sets), settings)


def with_leaks(findings: Sequence[Finding], leaks: Leaks | None) -> tuple[Finding, ...]:
    """What an ingestion told, but of copies what LeakageGuard has found, which looks closer."""
    if leaks is None:
        return tuple(findings)
    return (*(one for one in findings if one.kind not in OF_COPIES), *leaks.findings)


def _memory_advice(config: PipelineConfig) -> str:
    smaller = max(1, config.train.batch_size // 2)
    return f" If memory ran out: --set train.batch_size={smaller} needs less."
