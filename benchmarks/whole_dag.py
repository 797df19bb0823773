"""What a whole run takes, step by step: of this checkout, or of an older one beside it.

    python -m benchmarks.whole_dag --data FOLDER --workspace DIR [--code CHECKOUT]

The network is one block that learns for one epoch on pictures of 32 pixels: what is measured is
everything else, and the Trainer stands for itself. Of each step: CPU seconds of it and all that
it has started, the largest sum of their memory that is no file's, sampled twice a second, and by
the clock. A run writes its steps one after the other, so a step ends where the next one begins.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.usage import Usage

_RUNNING = re.compile(r"\[ *[\d:]+\] (.+): running$")
_START, _TRAINER = "ingest and start", "Trainer"
_SAMPLE_S = 0.5
_SETTINGS = (
    *("train.blocks=[1]", "train.width=4", "train.epochs=1", "image_size=32"),
    *("evaluate.min_accuracy=0", "evaluate.min_class_accuracy=0"),
)


def measure(command: Sequence[str], code: Path | None) -> list[dict[str, float | str]]:
    """Runs it; returns a row for each step, in the order of the run.

    Raises:
        SystemExit: The run failed.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if code:
        environment["PYTHONPATH"] = str(code)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    assert process.stdout
    usage, lock, ended = Usage(process.pid), threading.Lock(), threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLE_S):
            with lock:
                usage.sample()

    watcher = threading.Thread(target=watch)
    watcher.start()
    rows: list[dict[str, float | str]] = []
    step, begun, cpu = _START, time.monotonic(), 0.0

    def close() -> None:
        nonlocal begun, cpu
        with lock:
            total = usage.sample()
            peak, usage.peak_mib = usage.peak_mib, 0.0
        seconds = time.monotonic() - begun
        rows.append({"step": step, "cpu_s": total - cpu, "peak_mib": peak, "seconds": seconds})
        print(json.dumps(rows[-1]), flush=True)
        begun, cpu = time.monotonic(), total

    try:
        for line in process.stdout:
            print(line, end="", file=sys.stderr)
            if found := _RUNNING.match(line.rstrip()):
                close()
                step = found[1]
    finally:
        ended.set()
        watcher.join()
    close()
    if process.wait():
        raise SystemExit(f"the run failed ({process.returncode})")
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Runs, and sums up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--workspace", type=Path, required=True, help="a new folder")
    parser.add_argument("--code", type=Path, help="another checkout")
    args = parser.parse_args(argv)
    signs = str(Path(sys.executable).with_name("signs"))
    settings = [word for setting in _SETTINGS for word in ("--set", setting)]
    where = ["--data", args.data, "--workspace", str(args.workspace)]
    rows = measure([signs, "run", *where, *settings], args.code)
    others = [row for row in rows if row["step"] != _TRAINER]
    total = {name: sum(float(row[name]) for row in others) for name in ("cpu_s", "seconds")}
    peak = max(float(row["peak_mib"]) for row in others)
    print(json.dumps({"step": "all but the Trainer", **total, "peak_mib": peak}))


if __name__ == "__main__":
    main()
