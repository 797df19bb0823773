"""A whole run against a textbook's DAG of TFX, in turns: all that is not `fit`.

    python benchmarks/whole_run.py TEXTBOOK --data 64x64_SIGNS.zip [--rounds 2]

TEXTBOOK is a folder that is not part of the repository. `python mkdata.py FOLDER` in it makes data
of the unpacked zip, and `python run.py` runs TFX's own components on them with `LocalDagRunner`:
ImportExampleGen, StatisticsGen, SchemaGen, ExampleValidator, Transform, Trainer (Keras's ResNet50),
Evaluator, Pusher. `signs run` does more: it checks every picture, evaluates more metrics, draws a
confusion matrix, compares the served candidate with the trained network, and asks the pushed model
about every test image. Both run from nothing to the pushed model (the textbook's network may miss
its threshold, and is not copied then), from the start of the interpreter to its end. Keras's `fit`
is taken off both: a hook in each process measures it.

CPU seconds are those of all processes and threads of a run. They count what has been done, and say
more than the clock where something else runs on the machine.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_FIT_LOG = "FIT_LOG"  # in the environment: the file that gets a line for each `fit`
# Python imports a module of this name as it starts, before anything else.
_HOOK = f'''
import json, os, time
import wrapt

@wrapt.when_imported("keras.src.backend.tensorflow.trainer")
def hook(module):
    @wrapt.patch_function_wrapper(module, "TensorFlowTrainer.fit")
    def fit(wrapped, instance, args, kwargs):
        wall, cpu = time.monotonic(), time.process_time()
        try:
            return wrapped(*args, **kwargs)
        finally:
            with open(os.environ["{_FIT_LOG}"], "a") as log:
                print(json.dumps([time.monotonic() - wall, time.process_time() - cpu]), file=log)
'''
_LOG_TAIL = 2000  # characters
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cost:
    """Seconds of a run, by the clock and of all cores together."""

    wall: float
    cpu: float

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.wall - other.wall, self.cpu - other.cpu)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.wall + other.wall, self.cpu + other.cpu)


def textbook(folder: Path, zipped: Path, scratch: Path) -> tuple[Cost, Cost]:
    """The cost of the textbook's run, and of `fit` in it."""
    place = scratch / "textbook"
    shutil.copytree(folder, place, copy_function=shutil.copyfile)  # of a folder that is read-only
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(scratch / "unpacked")
    [train] = (scratch / "unpacked").rglob("train_signs")
    make = [sys.executable, "mkdata.py", str(train.parent)]
    subprocess.run(make, cwd=place, check=True, capture_output=True)
    return _measured([sys.executable, "run.py"], place, scratch)


def ours(zipped: Path, scratch: Path) -> tuple[Cost, Cost]:
    """The cost of `signs run`, and of `fit` in it."""
    workspace = scratch / "workspace"
    # After one epoch a model knows nothing: without thresholds, so that it is pushed.
    # But spoilt copies are looked at.
    settings = (
        *("train.epochs=1", "evaluate.min_accuracy=0", "evaluate.min_class_accuracy=0"),
        *("evaluate.min_corrupted_accuracy=0.001", "evaluate.max_calibration_error=1"),
        "evaluate.must_beat=nothing",
    )
    command = [sys.executable, "-m", "pipeline.commands", "run", "--data", str(zipped)]
    command += [word for setting in settings for word in ("--set", setting)]
    costs = _measured([*command, "--workspace", str(workspace)], _ROOT, scratch)
    if not list(workspace.glob("serving/*/*/saved_model.pb")):
        raise SystemExit(f"nothing was pushed: {_tail(scratch)}")
    return costs


def _measured(command: Sequence[str], folder: Path, scratch: Path) -> tuple[Cost, Cost]:
    """Runs a command; what it costs, and what `fit` costs in it."""
    (scratch / "hook").mkdir()
    (scratch / "hook" / "sitecustomize.py").write_text(_HOOK)
    fit_log = scratch / "fit"
    environment = {
        **os.environ,
        "PYTHONPATH": str(scratch / "hook"),
        _FIT_LOG: str(fit_log),
    }
    begun = time.monotonic()
    with (scratch / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    whole = Cost(time.monotonic() - begun, usage.ru_utime + usage.ru_stime)
    if process.returncode:
        raise SystemExit(f"{command[1:3]} failed: {_tail(scratch)}")
    fits = [Cost(*json.loads(line)) for line in fit_log.read_text().splitlines()]
    if len(fits) != 1:
        raise SystemExit(f"{command[1:3]} called fit {len(fits)} times: {_tail(scratch)}")
    return whole, fits[0]


def _tail(scratch: Path) -> str:
    return (scratch / "log").read_text(errors="replace")[-_LOG_TAIL:]


def main() -> None:
    """Prints a line for each run, and the ratio of the sums in the end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("textbook", type=Path, help="folder of mkdata.py, mod.py and run.py")
    parser.add_argument("--data", type=Path, required=True, help="64x64_SIGNS.zip")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="runs of each")
    arguments = parser.parse_args()
    zipped, folder = arguments.data.resolve(), arguments.textbook.resolve()
    nothing = Cost(0, 0)
    sums = {"textbook": nothing, "ours": nothing}
    print(f"{'':10}{'wall s':>9}{'of it fit':>11}{'CPU s':>9}{'of it fit':>11}", flush=True)
    for _ in range(arguments.rounds):
        for name in sums:
            with tempfile.TemporaryDirectory() as scratch:
                if name == "ours":
                    whole, fit = ours(zipped, Path(scratch))
                else:
                    whole, fit = textbook(folder, zipped, Path(scratch))
            sums[name] += whole - fit
            print(
                f"{name:10}{whole.wall:9.1f}{fit.wall:11.1f}{whole.cpu:9.1f}{fit.cpu:11.1f}",
                flush=True,
            )
    for name, total in sums.items():
        wall, cpu = total.wall / arguments.rounds, total.cpu / arguments.rounds
        print(f"{name}, less fit: {wall:.1f} s, {cpu:.1f} s of CPU")
    wall = sums["ours"].wall / sums["textbook"].wall
    cpu = sums["ours"].cpu / sums["textbook"].cpu
    print(f"ratio: {wall:.2f} by the clock, {cpu:.2f} of CPU")


if __name__ == "__main__":
    main()
