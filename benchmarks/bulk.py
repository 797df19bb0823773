"""What `signs predict --bulk` makes of a model's speed: rate, memory, and a kill in the middle.

    python -m benchmarks.bulk workspace --pictures 100000 --out bulk.json

A folder of drawn pictures is answered over and over, in turns with batches of the same size in
process (`benchmarks.serving_speed`), each in a process of its own, so that whatever else the
machine does weighs on both. The rate is that of the whole call: listing, loading, reading, asking
and writing. Then a run is killed with half of its parts done, and started again.

100,000 pictures take five minutes a round on two slow cores that are free. Of fewer the start
weighs more: `asking` leaves it out.
"""

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.serving_speed import BATCH, Figures, InProcess
from signs.process import cores
from signs.versions import complete_versions

_DISTINCT = 1000  # pictures that are drawn; the others are copies of them
_MS, _POLL_S = 1000.0, 0.05


@dataclass(frozen=True)
class Run:
    """One run over all pictures.

    Args:
        rate: pictures a second, of the whole call.
        asking: the same without what a run over one part takes.
        cpu_ms: processor time a picture, without that as well.
        peak_mib: the most memory that the process had.
    """

    rate: float
    asking: float
    cpu_ms: float
    peak_mib: float


def draw(folder: Path, count: int) -> None:
    """Writes so many pictures of hands."""
    from data import synthetic
    from signs.image_bytes import encode_png

    pictures = [encode_png(synthetic.draw(7, index)) for index in range(min(count, _DISTINCT))]
    folder.mkdir()
    for index in range(count):
        (folder / f"{index:06d}.png").write_bytes(pictures[index % len(pictures)])


def ask(source: Path, out: Path, version: Path) -> tuple[float, float, float]:
    """Runs in a process of its own: seconds by the clock and of processors, peak in MiB."""
    from modules.exported import class_names_of
    from pipeline.bulk.machine import this_machine
    from pipeline.bulk.predict import predict

    names, machine = class_names_of(version), this_machine()
    started, cpu = time.perf_counter(), time.process_time()
    predict(str(source), out, version, names, machine, lambda progress: None)
    took, used = time.perf_counter() - started, time.process_time() - cpu
    return took, used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(source: Path, one_part: Path, out: Path, version: Path, pictures: int) -> Run:
    """Answers a folder, and beside it a single part, each in a new process."""
    from pipeline.bulk.listing import PART

    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        first_s, first_cpu, _ = pool.submit(ask, one_part, out, version).result()
        took, cpu, peak = pool.submit(ask, source, out, version).result()
    more = pictures - PART
    return Run(pictures / took, more / (took - first_s), _MS * (cpu - first_cpu) / more, peak)


def kill_in_the_middle(
    source: Path, undisturbed: Path, workspace: Path, folder: Path, pictures: int
) -> int:
    """Kills a run at half of its parts and starts it again.

    Returns:
        How many pictures the second run took over from the first.
    """
    from pipeline.bulk.listing import PART

    out = folder / "killed.jsonl"
    options = [f"--out={out}", f"--workspace={workspace}", "--json"]
    command = [sys.executable, "-m", "pipeline.commands", "predict", f"--bulk={source}", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        parts = out.with_name(f"{out.name}.parts")
        while len(list(parts.glob("answers-*"))) < pictures // PART // 2:
            if run.poll() is not None:
                raise RuntimeError("it ended before it was killed")
            time.sleep(_POLL_S)
        os.kill(run.pid, signal.SIGKILL)
    told = subprocess.run(command, capture_output=True, check=True)
    if out.read_bytes() != undisturbed.read_bytes():
        raise RuntimeError("the answers differ from those of a run that nobody disturbed")
    return int(json.loads(told.stdout)["reused"])


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path, help="with a model that is called signs")
    parser.add_argument("--pictures", type=int, default=5000, help="1024 or more")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind")
    parser.add_argument("--out", type=Path, help="write the figures as JSON, too")
    options = parser.parse_args()
    base = options.workspace / "serving" / "signs"
    version = [*complete_versions(base).values()][-1]
    runs: list[Run] = []
    alone: list[Figures] = []
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        folder = Path(directory)
        source, one_part, answers = folder / "all", folder / "one", folder / "answers.jsonl"
        draw(source, options.pictures)
        draw(one_part, 256)
        in_process = InProcess(stack, base, 1)
        for _ in range(options.rounds):
            seconds = 4.0
            alone.append(in_process.measure(cores(), BATCH, seconds))
            runs.append(measure(source, one_part, answers, version, options.pictures))
        reused = kill_in_the_middle(source, answers, options.workspace, folder, options.pictures)
    figures = {
        "pictures": options.pictures,
        "in process": {"rate": _median(alone, "rate"), "cpu_ms": _median(alone, "cpu_ms")},
        "bulk": {name: _median(runs, name) for name in asdict(runs[0])},
        "asking / in process": statistics.median(
            run.asking / one.rate for run, one in zip(runs, alone, strict=True)
        ),
        "CPU, in process / asking": statistics.median(
            one.cpu_ms / run.cpu_ms for run, one in zip(runs, alone, strict=True)
        ),
        "taken over after the kill": reused,
    }
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")


def _median(of: list[Run] | list[Figures], name: str) -> float:
    return statistics.median(getattr(one, name) for one in of)


if __name__ == "__main__":
    main()
