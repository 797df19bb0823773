"""Ingest against a plain loop: images per second, peak memory, and where the time goes.

    python benchmarks/ingest.py [COUNT ...]

Prediction, before measuring: an image costs about 3 ms of one core (2.0 draw, 0.6 PNG, 0.2
validate, 0.15 serialize and compress), so a loop makes about 330 images/s and two processes twice
that, less about 2 s to import Beam and start; so the gain passes 1.5 at a few thousand images.
Memory: a worker holds its part's listing (100 MB of images at most), whatever the count.

Measured on two virtual cores, from start of the interpreter to its end: 0.75x at 1,000 images
(importing Beam alone takes 1.7 s), 1.45x at 10,000, 1.77x at 100,000 (462 against 261 images/s);
260 MB at each, of which Beam's import is 200. All the time beyond that import is the workers'
own: drawing takes two thirds of it. (Since then nothing imports Beam where no option is Beam's.)

On a machine that does other work the clock says little: `CPU s` is that of the process and of its
workers, and `free` what they would take if no core had other work: one process, then all cores.

Every measurement runs in a process of its own. Peak memory is the largest sum over the process and
its children of what they hold for themselves (USS), sampled ten times a second.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from signs.process import cores

_COUNTS = (1_000, 2_000, 10_000, 100_000)
_SAMPLE_S = 0.1


def loop(count: int, root: Path) -> dict[str, float]:
    """Does the work of ingest in one process, as one would write it down first."""
    from data import synthetic
    from data.sample import Sample
    from data.tfrecord import Writer
    from signs.features import SPLITS
    from signs.image_bytes import canonical_bytes, encode_png

    spent = dict.fromkeys(("draw", "encode", "validate", "write"), 0.0)
    writers = {split: Writer(root / f"{split}.tfrecord.gz") for split in SPLITS}
    for index in range(count):
        start = time.perf_counter()
        pixels = synthetic.draw(0, index)
        drawn = time.perf_counter()
        encoded = encode_png(pixels)
        coded = time.perf_counter()
        image = canonical_bytes(encoded)
        valid = time.perf_counter()
        label, split = synthetic.label_of(index), synthetic.split_of(index)
        sample = Sample(image, label, synthetic.CLASS_NAMES[label], f"synthetic-{index}", split)
        writers[split].write(sample.serialize())
        done = time.perf_counter()
        for part, duration in zip(
            spent, (drawn - start, coded - drawn, valid - coded, done - valid), strict=True
        ):
            spent[part] += duration
    for writer in writers.values():
        writer.close()
    return spent


def ingest(count: int, root: Path) -> dict[str, float]:
    """Ingests as `signs ingest` does where no option is Beam's."""
    start = time.perf_counter()
    from data.converting.convert import ingest

    ingest(f"synthetic:{count}", root)
    return {"ingest": time.perf_counter() - start}


def main(counts: list[int]) -> None:
    """Prints one line per measurement."""
    heads = ("images", "seconds", "CPU s", "free s", "peak MB")
    print(f"{'':8}{''.join(f'{head:>9}' for head in heads)}  seconds in parts")
    for count in counts:
        took = {}
        for name in ("loop", "ingest"):
            seconds, peak, parts, (own, workers) = _measure(name, count)
            took[name] = seconds, own + workers / cores()
            figures = f"{seconds:9.1f}{own + workers:9.1f}{took[name][1]:9.1f}{peak:9.0f}"
            print(f"{name:8}{count:9}{figures}  {parts}", flush=True)
        clock, free = (loop / ours for loop, ours in zip(*took.values(), strict=True))
        print(f"{'':8}{'':9}{clock:8.2f}x{'':9}{free:8.2f}x", flush=True)


def _measure(name: str, count: int) -> tuple[float, float, str, tuple[float, float]]:
    """Runs one measurement.

    Returns:
        Seconds from start to end, peak MB, its parts, and CPU seconds: its own and its workers'.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, __file__, name, str(count), folder], stdout=subprocess.PIPE, text=True
        )
        peak, done = [0.0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak, done))
        watcher.start()
        output, _ = process.communicate()
        seconds = time.perf_counter() - start
        done.set()
        watcher.join()
        if process.returncode:
            raise SystemExit(process.returncode)
        parts, own, workers = output.strip().split("; ")
        return seconds, peak[0], parts, (float(own), float(workers))


def _watch(pid: int, peak: list[float], done: threading.Event) -> None:
    while not done.wait(_SAMPLE_S):
        total = 0
        try:
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                total += process.memory_full_info().uss
        except psutil.Error:
            continue
        peak[0] = max(peak[0], total / 2**20)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ("loop", "ingest"):
        work = {"loop": loop, "ingest": ingest}[sys.argv[1]]
        parts = work(int(sys.argv[2]), Path(sys.argv[3]))
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu = [str(one.ru_utime + one.ru_stime) for one in used]
        print("; ".join([", ".join(f"{name} {spent:.1f}" for name, spent in parts.items()), *cpu]))
    else:
        parser = argparse.ArgumentParser(
            description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument(
            "counts", metavar="COUNT", nargs="*", type=int, default=_COUNTS, help="images"
        )
        main(parser.parse_args().counts)
