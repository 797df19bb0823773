"""Runs a plan's shards with Beam, on this machine or wherever its runner works.

    shard numbers -> ParDo -> files in the plan's folder

An element is a whole shard, not an image: Beam's cost per element then vanishes, a shard is what a
runner retries, and no image goes through a shuffle. On this machine, unless Beam is told
otherwise, the DoFn hands its shards to `data.processes`: they start in 0.3 s, Beam's in 5 s.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from data import IngestError, tfrecord
from data.converting.plan import Plan
from data.processes import how_many, write_shards

# DirectRunner would first try to download Prism, a runner written in Go.
_LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_RAISED = re.compile(r"[A-Za-z_.]*(Error|Exception): ")  # how a traceback's last line begins


def convert(plan: Plan, images: int, beam_args: Sequence[str]) -> None:
    """Converts all shards of a plan.

    Args:
        plan: Already saved in its folder, which every worker must see.
        images: How many there are.
        beam_args: Options of Beam, such as those of `data.engine.engine.Engine`.
    """
    beam_decides = not _is_local(beam_args) or any(
        argument.startswith("--direct_") for argument in beam_args
    )
    processes = 1 if beam_decides else how_many(plan, images)
    shards = list(range(plan.shards))
    # Own processes share the shards of one element; Beam's workers get an element per shard.
    elements = [shards] if processes > 1 else [[shard] for shard in shards]
    pipeline = pipeline_of(beam_args)
    _ = (
        pipeline
        | "Shards" >> beam.Create(elements)
        | "Spread" >> beam.Reshuffle()
        | "Convert" >> beam.ParDo(_WriteShards(str(plan.folder), processes))
    )
    with one_error():
        pipeline.run().wait_until_finish()


def pipeline_of(beam_args: Sequence[str]) -> beam.Pipeline:
    """Makes a pipeline; without a runner among the options it runs in this process.

    Raises:
        IngestError: Beam refuses its options.
    """
    options = PipelineOptions(list(beam_args))
    if _is_local(beam_args):
        options.view_as(StandardOptions).runner = _LOCAL_RUNNER
    try:
        return beam.Pipeline(options=options)
    except ValueError as err:  # for example a runner that does not exist
        raise IngestError(f"Beam refuses its options {' '.join(beam_args)}: {err}") from err


def files_of(patterns: Sequence[str]) -> list[str]:
    """Returns the files of patterns, wherever Beam finds them, those of each in order.

    Raises:
        OSError: There is no file of a pattern.
    """
    found = []
    for pattern, match in zip(patterns, FileSystems.match(list(patterns)), strict=True):
        if not match.metadata_list:
            raise OSError(f"there is no file {pattern}")
        found += sorted(each.path for each in match.metadata_list)
    return found


def records_of(path: str) -> Iterator[bytes]:
    """Yields the records of a gzipped TFRecord file, wherever Beam finds it.

    A step that takes whole files in place of Beam's own reading holds none of their images:
    Beam's local runner keeps all elements where two sources flow together.

    Raises:
        ValueError: A record whose checksum does not hold.
    """
    with FileSystems.open(path) as file:
        yield from tfrecord.records_in(file, path)


def raised(text: str) -> str:
    """Makes one line of a failure: Beam hands on what a step raises as a traceback, in a text."""
    said = [line for line in text.splitlines() if line.strip()] or ["it said nothing"]
    last = next((line for line in reversed(said) if _RAISED.match(line)), said[-1])
    return _RAISED.sub("", last).split(" [while running")[0].strip()


def _is_local(beam_args: Sequence[str]) -> bool:
    runner = PipelineOptions(list(beam_args)).view_as(StandardOptions).runner
    return runner in (None, "DirectRunner", "FnApiRunner")


class _WriteShards(beam.DoFn):
    """Converts the shards of an element.

    Args:
        folder: The plan's.
        processes: How many processes to start for it; 1 does the work in this one.
    """

    def __init__(self, folder: str, processes: int) -> None:
        self._folder = folder
        self._processes = processes

    def process(self, shards: Sequence[int]) -> Iterator[int]:
        """Yields the shards that are done."""
        write_shards(Plan.load(Path(self._folder)), shards, self._processes)
        yield from shards


@contextmanager
def one_error() -> Iterator[None]:
    """Lets a user's mistake or a full disk surface as itself, once.

    Beam logs a failure with its traceback several times over, and adds the step to its text.
    """
    logger = logging.getLogger("apache_beam.runners.common")

    def quiet(record: logging.LogRecord) -> bool:  # one for each call: two may run at once
        return False

    logger.addFilter(quiet)
    try:
        yield
    except IngestError as err:
        raise IngestError(str(err).split(" [while running")[0]) from err
    finally:
        logger.removeFilter(quiet)
