"""How time, memory and bytes of each step of a run grow with the number of pictures.

    python -m benchmarks.scaling --images 1000 10000 100000 1000000 --folder /big/disk/scaling

Pictures are JPEGs of the size of SIGNS's, 64 pixels a side, in folders. Each step is a process of
its own (`benchmarks.scaling_steps`). Peak memory is the largest sum over it and its children of
what is no file's, sampled once a second; bytes are those that went through system calls, and those
that lie there in the end. A row is written as soon as its step is done, and a run
that was killed goes on behind its last row. What a size has made is removed before the next one.

`python -m benchmarks.scaling_table FOLDER` makes the table and the picture of docs/scaling.md.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from benchmarks.scaling_steps import STEPS
from benchmarks.usage import Usage

ROWS = "rows.jsonl"
_SAMPLE_S = 1.0
_NEEDED = ("ingest", "SpanGen", "LeakageGuard")  # by the steps behind them


def measure(step: str, folder: Path, images: int) -> dict[str, float]:
    """Does a step in a process of its own; returns what it took.

    Raises:
        SystemExit: the step failed.
    """
    with (folder / f"{step.replace(' ', '_')}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scaling_steps", step, str(folder), str(images)],
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        usage, done = Usage(process.pid), threading.Event()
        watcher = threading.Thread(target=_watch, args=(usage, done))
        watcher.start()
        output, _ = process.communicate()
        done.set()
        watcher.join()
    if process.returncode:
        raise SystemExit(f"{step} failed ({process.returncode}): see {log.name}")
    return {**json.loads(output.splitlines()[-1]), "peak_mib": usage.peak_mib}


def _watch(usage: Usage, done: threading.Event) -> None:
    while not done.wait(_SAMPLE_S):
        usage.sample()


def main(argv: Sequence[str] | None = None) -> None:
    """Measures size after size, what is not measured yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=1, help="of each size")
    parser.add_argument("--folder", type=Path, required=True, help="takes rows and pictures")
    parser.add_argument("--steps", nargs="+", choices=tuple(STEPS), default=list(STEPS))
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = args.folder / ROWS
    known = [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []
    for images in args.images:
        todo = [step for step in args.steps if _rounds(known, step, images) < args.rounds]
        if not todo:
            continue
        folder = args.folder / str(images)
        folder.mkdir(exist_ok=True)
        for name, made in (("draw", "drawn"), ("model", "modelled")):
            if not (folder / made).exists():
                measure(name, folder, images)
                (folder / made).touch()
        for number in range(args.rounds):
            for step in STEPS:
                is_due = _rounds(known, step, images) <= number and step in todo
                if is_due or (step in _NEEDED and not _made(folder, step)):
                    row = {"step": step, "images": images, **measure(step, folder, images)}
                    print(json.dumps(row), flush=True)
                    if is_due:
                        with rows.open("a") as file:
                            file.write(json.dumps(row) + "\n")
        shutil.rmtree(folder)


def _rounds(rows: Sequence[dict], step: str, images: int) -> int:
    return sum((row["step"], row["images"]) == (step, images) for row in rows)


def _made(folder: Path, step: str) -> bool:
    return all((folder / name).exists() for name in STEPS[step][1])


if __name__ == "__main__":
    main()
