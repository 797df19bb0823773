"""`signs compile`: from images to the file that KFP takes, which it calls a package.

source -> data.converting -> span -> PipelineConfig -> kubeflow.compiling.compiler -> pipeline.yaml
  or a span's manifest.json, from where it was ingested
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from data.manifest import Manifest
from data.sources.layouts.answers import NO_ANSWERS, Answers
from data.test_set import sources_by_name
from data.window.choice import ALL, Choice
from kubeflow.compiling.options import ClusterOptions
from kubeflow.compiling.pipeline_file import SUFFIXES
from pipeline.config import Data, FurtherSet, default_config, override
from pipeline.environment import Workspace
from pipeline.running.inputs import check_settings, data_of, ingest_inputs
from signs import durable
from signs.errors import UserError
from signs.features import MANIFEST
from signs.tensorflow_notes import without_tensorflow_notes


class PackageError(UserError):
    """The file cannot be written."""


@dataclass(frozen=True)
class Package:
    """What was compiled."""

    output: Path
    name: str  # of the pipeline, the data set and the served model
    # Folders of the data set and of further test sets: here, and where the steps look for them.
    folders: Mapping[Path, str]


def compile_source(
    source: str,
    workspace: Workspace,
    options: ClusterOptions,
    output: Path,
    console: Console,
    *,
    name: str | None = None,
    answers: Answers = NO_ANSWERS,
    also_test: Sequence[str] = (),
    settings: Sequence[str] = (),
    max_rejected: float = 0.01,
    pin_span: bool = False,
    spans: str = ALL,
) -> Package:
    """Compiles the pipeline for a data set, which tells its name, classes and splits.

    Args:
        source: what `data.converting.convert.ingest` takes; a span that exists is found again. Or
            the path of a span's manifest.json: then nothing is ingested, and no image need be here.
        workspace: holds the data set.
        options: what the cluster gives each step.
        output: the file to write; one that exists is replaced whole, or left as it is.
        console: where to show the ingestion.
        name: of the data set; None lets the source say.
        answers: what the user says of a source that does not say it itself.
        also_test: further test sets, see `data.test_set.sources_by_name`; every run reads the
            very spans that are found now.
        settings: `name=value`, see `pipeline.config.override`.
        max_rejected: fraction of each source's files that may be unusable, in [0, 1].
        pin_span: every run reads this very span and version; by default the newest of its time.
        spans: which of the spans that lead to it are read, see `data.window.choice`; a run may be
            given others.

    Returns:
        What was written, and what must be on the claim before it runs.

    Raises:
        UserError: a mistake in the arguments or the data, or a pipeline that KFP cannot run.
    """
    # Mistakes are told before an hour of ingestion, not after.
    test_sets = sources_by_name(also_test)
    check_settings(settings, test_sets)
    Choice.parse(spans)
    if output.suffix not in SUFFIXES:
        raise PackageError(f"--output must end in .yaml, as KFP wants it. Received: {output}")
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise PackageError(f"--output must be a file in a folder that exists. Received: {output}")
    # TFX takes its time to be imported: after what can be told without it.
    with without_tensorflow_notes():
        from kubeflow.compiling.checks import check_name
        from kubeflow.compiling.compiler import compile_pipeline, environment
    if name is not None:
        check_name(name)
    here: tuple[Path, ...] = ()  # what must be copied to the claim
    further: tuple[FurtherSet, ...] = ()
    if Path(source).name == MANIFEST:
        data = replace(_told(Path(source), name, answers, test_sets), spans=spans)
    else:
        inputs = ingest_inputs(
            source,
            test_sets,
            workspace,
            console,
            name=name,
            answers=answers,
            max_rejected=max_rejected,
        )
        data = replace(data_of(inputs.data, spans), version=inputs.data.version)
        further = inputs.further_sets
        here = (workspace.data / data.name,)
    if not pin_span:
        data = replace(data, span=None, version=None)
    config = override(default_config(data, further), settings)
    write_package(compile_pipeline(config, options), output)
    there = environment(config, options)
    return Package(
        output=output,
        name=config.pipeline_name,
        folders={
            **dict.fromkeys(here, there.data_root),
            **{workspace.also_test / one: f"{there.also_test_root}/{one}" for one in test_sets},
        },
    )


def _told(manifest: Path, name: str | None, answers: Answers, test_sets: Mapping[str, str]) -> Data:
    """The data set that a span's manifest tells of."""
    if test_sets or answers != NO_ANSWERS:
        raise PackageError(
            f"{manifest} tells what was ingested: --layout, --split and --zip-encoding are for "
            "images, and --also-test needs the data set here: give --data its images"
        )
    told = Manifest.load(manifest.parent)
    if name not in (None, told.name):
        raise PackageError(f"{manifest} is of {told.name}, and --name says {name}: leave it out")
    return Data(
        told.name, told.span, told.class_names,
        {split: told.all_of(split) for split in told.counts}, told.version,
    )  # fmt: skip


def write_package(text: str, output: Path) -> None:
    """Writes the file: a failure leaves what was there before.

    Raises:
        PackageError: the disk is full, or the folder cannot be written.
    """
    try:
        durable.write_text(output.resolve(), text)  # a link stays a link
    except OSError as err:
        raise PackageError(f"{output} cannot be written: {err.strerror}") from err
