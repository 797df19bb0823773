"""One worker of several, a process of its own: see test_distributed.py.

Trains again and again by the real `run_fn`, since it is the start of TensorFlow that takes long,
and writes what came of each training to `worker-<index>.json`.

Arguments: a folder with what `run_fn` is given, as `arguments.json`; it is written to as well.
"""

import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from modules.machines.workers import Workers
from modules.trainer import run_fn
from modules.training.job import TrainingJob
from modules.training.recipe import Recipe
from modules.training.tell_progress import TellProgress
from tests.modules.dark_and_bright import SMALL, quick_changes

STOPPED_AFTER = 1  # epochs

# Each worker has 4 images of a batch of 8. Validation is of 8.
RECIPE = Recipe(
    **{**SMALL, "batch_size": 4, "sizes": ((0.5, 0.5), (0.5, 1.0))},
    epochs=2,
    learning_rate=0.01,
    splits=("train",),
)


@quick_changes()
def main(folder: str) -> None:
    root = Path(folder)
    worker = Workers.from_environment()
    told: dict[str, dict] = {}

    def training(**changed: object) -> SimpleNamespace:
        arguments = SimpleNamespace(**json.loads((root / "arguments.json").read_text()))
        job = dataclasses.replace(
            TrainingJob.from_custom_config(arguments.custom_config), **changed
        )
        arguments.custom_config = job.to_custom_config()
        return arguments

    def tell(name: str, train: Callable[[], None]) -> None:
        begun = time.monotonic()
        try:
            train()
            outcome = "trained"
        except Exception as err:
            outcome = f"{type(err).__name__}: {err}"
        told[name] = {"outcome": outcome, "seconds": time.monotonic() - begun}
        (root / f"worker-{worker.index}.json").write_text(json.dumps(told))

    kept = str(root / "checkpoints")
    with at_epoch(STOPPED_AFTER, stop):
        tell("stopped", lambda: run_fn(training(checkpoints=kept)))

    # The others look for the chief's checkpoints where there are none.
    own = kept if worker.is_chief else str(root / "empty")
    tell("other checkpoints", lambda: run_fn(training(checkpoints=own)))

    recipe = RECIPE if worker.is_chief else dataclasses.replace(RECIPE, learning_rate=0.5)
    tell("other recipe", lambda: run_fn(training(recipe=recipe)))

    tell("resumed", lambda: run_fn(training(checkpoints=kept)))

    if not worker.is_chief:
        os._exit(9)
    tell("lost", lambda: run_fn(training()))


class StoppedError(Exception):
    """In the place of a kill."""


def stop() -> None:
    raise StoppedError


def at_epoch(number: int, act: Callable[[], object]) -> mock._patch:
    """Has something happen at the start of an epoch."""
    begin = TellProgress.on_epoch_begin

    def on_epoch_begin(self: TellProgress, epoch: int, logs: dict | None = None) -> None:
        if epoch == number:
            act()
        begin(self, epoch, logs)

    return mock.patch.object(TellProgress, "on_epoch_begin", on_epoch_begin)
