"""Runs a plan's shards with Beam, on this machine or wherever its runner works.

    shard numbers -> ParDo -> files in the plan's folder

An element is a whole shard, not an image: Beam's cost per element then vanishes, a shard is what a
runner retries, and no image goes through a shuffle. On this machine, unless Beam is told
otherwise, the DoFn hands its shards to processes of its own: they start in 0.3 s, Beam's in 5 s.
"""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from data import IngestError
from data.plan import Plan
from data.shard import write_shard
from signs.process import cores

# DirectRunner would first try to download Prism, a runner written in Go.
_LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_FEW_IMAGES = 500  # below that, starting processes takes longer than they save
_MOST_PROCESSES = 16
_POLL_S = 0.2


def convert(
    plan: Plan,
    images: int,
    beam_args: Sequence[str],
    progress: Callable[[int, int | None], None] | None,
) -> None:
    """Converts all shards of a plan.

    Args:
        plan: Already saved in its folder, which every worker must see.
        images: How many there are, for `progress`.
        beam_args: Pipeline options as on a command line, such as `--runner=FlinkRunner`.
        progress: Called now and then with images done and all images.
    """
    options = PipelineOptions(list(beam_args))
    is_local = options.view_as(StandardOptions).runner in (None, "DirectRunner", "FnApiRunner")
    if is_local:
        options.view_as(StandardOptions).runner = _LOCAL_RUNNER
    beam_decides = not is_local or any(argument.startswith("--direct_") for argument in beam_args)
    processes = 1
    if not beam_decides and images >= _FEW_IMAGES:
        processes = min(cores(), plan.shards, _MOST_PROCESSES)
    shards = list(range(plan.shards))
    # Own processes share the shards of one element; Beam's workers get an element per shard.
    elements = [shards] if processes > 1 else [[shard] for shard in shards]
    try:
        pipeline = beam.Pipeline(options=options)
    except ValueError as err:  # for example a runner that does not exist
        raise IngestError(f"Beam refuses its options {' '.join(beam_args)}: {err}") from err
    _ = (
        pipeline
        | "Shards" >> beam.Create(elements)
        | "Spread" >> beam.Reshuffle()
        | "Convert" >> beam.ParDo(_WriteShards(str(plan.folder), processes))
    )
    with _watched(plan.folder / "progress", images, progress), _one_error():
        pipeline.run().wait_until_finish()


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
        if self._processes > 1:
            _in_processes(self._folder, shards, self._processes)
        else:
            plan = Plan.load(Path(self._folder))
            for shard in shards:
                write_shard(plan, shard)
        yield from shards


def _in_processes(folder: str, shards: Sequence[int], count: int) -> None:
    """Converts shards in `count` processes of this machine; the first that fails ends all."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "data.shard", folder, *map(str, shards[first::count])],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[1],
        )
        for first in range(count)
    ]
    try:
        # Read from all at once: a pipe that fills up stops its writer.
        with ThreadPoolExecutor(count) as pool:
            try:
                waits = [pool.submit(_wait, worker) for worker in workers]
                for wait in as_completed(waits):
                    wait.result()
            finally:
                for worker in workers:
                    worker.kill()
    finally:
        for worker in workers:
            worker.wait()
            for pipe in (worker.stdin, worker.stderr):
                if pipe:
                    pipe.close()


def _wait(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stderr is not None
    errors = worker.stderr.read().decode(errors="replace").strip()
    if status := worker.wait():
        last = errors.splitlines()[-1] if errors else "it said nothing"
        ended = f"was ended by signal {-status}" if status < 0 else f"failed ({status})"
        raise IngestError(f"a conversion process {ended}: {last}")


@contextmanager
def _one_error() -> Iterator[None]:
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


@contextmanager
def _watched(
    path: Path, images: int, progress: Callable[[int, int | None], None] | None
) -> Iterator[None]:
    """Reports the size of the progress file, a byte per image, while the block runs."""
    if progress is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_POLL_S):
            # A shard that a runner tries twice counts twice.
            progress(min(path.stat().st_size if path.exists() else 0, images), images)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
        done.set()
        thread.join()
        progress(images, images)
    finally:
        done.set()
        thread.join()
