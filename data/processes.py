"""Runs a plan's shards on this machine, without Beam: it takes three seconds to import.

shard numbers -> processes of `data.converting.shard` -> files in the plan's folder
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from data import IngestError
from data.converting.plan import Plan
from data.converting.shard import write_shard
from signs.process import cores

_FEW_IMAGES = 500  # below that, starting processes takes longer than they save
_MOST_PROCESSES = 16
_POLL_S = 0.2


def how_many(plan: Plan, images: int) -> int:
    """How many processes are worth while; 1 does the work in this one."""
    return min(cores(), plan.shards, _MOST_PROCESSES) if images >= _FEW_IMAGES else 1


def write_shards(plan: Plan, shards: Sequence[int], processes: int) -> None:
    """Converts shards of a plan that is saved in its folder, in so many processes.

    Raises:
        IngestError: a process failed; the text ends with what it said last.
    """
    if processes > 1:
        _in_processes(plan.folder, shards, processes)
    else:
        for shard in shards:
            write_shard(plan, shard)


def _in_processes(folder: Path, shards: Sequence[int], count: int) -> None:
    """Converts shards in `count` processes; the first that fails ends all."""
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "data.converting.shard",
                str(folder),
                *map(str, shards[first::count]),
            ],
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
def watched(
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
