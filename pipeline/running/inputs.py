"""What a run reads: its data set and its further test sets, ingested.

sources -> data.converting -> Inputs -> Data, FurtherSet ... -> PipelineConfig

What can be told before an hour of ingestion is told before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from data.converting.convert import Ingested, ingest, published
from data.sources.layouts.answers import NO_ANSWERS, Answers
from data.window.choice import ALL
from data.window.window import window
from pipeline.config import ConfigError, Data, FurtherSet, default_config, override
from pipeline.environment import Workspace
from pipeline.running.ingesting import showing
from signs import features

_ANY_DATA = Data("any", 1, ("a", "b"), dict.fromkeys(features.SPLITS, 1))


@dataclass(frozen=True)
class Inputs:
    """The data set, and the further test sets under its classes."""

    data: Ingested
    also_test: tuple[Ingested, ...] = ()

    @property
    def further_sets(self) -> tuple[FurtherSet, ...]:
        """The further test sets as the pipeline's configuration wants them."""
        return tuple(
            FurtherSet(one.name, one.span, one.version, one.manifest.split_size(features.TEST))
            for one in self.also_test
        )


def check_settings(settings: Sequence[str], test_sets: Mapping[str, str]) -> None:
    """Raises ConfigError if there is a mistake in the settings, whatever the data.

    Args:
        settings: `name=value`, see `pipeline.config.override`.
        test_sets: sources of further test sets by name.
    """
    further = tuple(FurtherSet(name, span=1, version=1, images=1) for name in test_sets)
    override(default_config(_ANY_DATA, further), settings)


def ingest_inputs(
    source: str,
    test_sets: Mapping[str, str],
    workspace: Workspace,
    console: Console,
    *,
    name: str | None = None,
    answers: Answers = NO_ANSWERS,
    max_rejected: float = 0.01,
    beam_args: Sequence[str] = (),
) -> Inputs:
    """Ingests all that is not there yet.

    Args:
        source: of the data set: what `data.converting.convert.ingest` takes; or the data set's
            folder in the workspace: then its newest span is read, whoever has ingested it.
        test_sets: sources of further test sets by name, see `data.test_set.sources_by_name`.
        workspace: takes the spans.
        console: where to show the ingestion.
        name: of the data set; None lets the source say.
        answers: what the user says of the data set's source that does not say it itself.
        max_rejected: fraction of each source's files that may be unusable, in [0, 1].
        beam_args: passed on to Beam.

    Raises:
        IngestError: a source cannot be used.
    """
    with showing(console) as progress:
        data = _published(source, workspace, name) or ingest(
            source,
            workspace.data,
            name=name,
            answers=answers,
            max_rejected=max_rejected,
            beam_args=beam_args,
            progress=progress,
        )
        also_test = [
            ingest(
                further,
                workspace.also_test,
                name=further_name,
                max_rejected=max_rejected,
                beam_args=beam_args,
                progress=progress,
                test_for=data.manifest.class_names,
            )
            for further_name, further in test_sets.items()
        ]
    return Inputs(data, tuple(also_test))


def _published(source: str, workspace: Workspace, name: str | None) -> Ingested | None:
    path = Path(source).expanduser().resolve()
    found = published(path)
    if found and path.parent != workspace.data.resolve():
        raise ConfigError(
            f"{source} holds spans, which are read where they are: give the workspace that they "
            f"lie in, as in --workspace {path.parents[1]}"
        )
    if found and name not in (None, found.name):
        raise ConfigError(f"{source} is {found.name}, and --name says {name}: leave it out")
    return found


def data_of(ingested: Ingested, spans: str = ALL) -> Data:
    """The spans of what was ingested, as the pipeline's configuration wants them.

    Args:
        ingested: the span that they lead to.
        spans: which of them are read, see `data.window.choice`.

    Raises:
        IngestError: there are no such spans.
        ConfigError: they have no images to train on, or to evaluate on.
    """
    versions = [path.name for path in ingested.directory.parent.glob("v-*")]
    newest = max(int(version.removeprefix("v-")) for version in versions)
    read = window(ingested.directory, spans)
    return Data(
        name=ingested.name,
        span=ingested.span,
        version=None if ingested.version == newest else ingested.version,
        class_names=tuple(read.parts[-1].manifest.class_names),
        counts={split: read.split_size(split) for split in features.SPLITS},
        spans=spans,
    )
