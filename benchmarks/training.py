"""How fast the Trainer is beside plain Keras: the same network, batch size and steps, by turns.

    python benchmarks/training.py --rounds 2

Plain: `keras.Model.fit` on arrays in memory, with the recipe's optimizer and loss. Ours:
`modules.training.loop.train` with all that it does besides: augmentation, checkpoints, TensorBoard,
progress. Both at full size, on the same devices in the same precision. Prints, for each round, the
seconds to the end of the first step, the seconds a step after it, and their ratios (above 1: ours
is quicker).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import tensorflow as tf

from modules.machines.devices import Devices, choose
from modules.machines.options import DeviceOptions, Precision
from modules.training.images import Images
from modules.training.input import training_batches
from modules.training.loop import build_network, make_optimizer, train
from modules.training.recipe import Recipe

CLASSES = 6
SIZE = 64


@dataclass(frozen=True)
class Timing:
    """Seconds of one training."""

    first_step: float  # from the call to the end of the first step: tracing, for the most part
    step: float  # mean of the steps after it, with what happens at the ends of epochs
    whole: float


class _Clock(keras.callbacks.Callback):
    """Notes when each step ended."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = time.perf_counter()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.ends.append(time.perf_counter())

    def timing(self) -> Timing:
        now = time.perf_counter()
        rest = len(self.ends) - 1
        return Timing(self.ends[0] - self.begun, (now - self.ends[0]) / rest, now - self.begun)


def plain(recipe: Recipe, pixels: np.ndarray, labels: np.ndarray, devices: Devices) -> Timing:
    """Times Keras's fit on arrays."""
    network = _network(recipe, devices)
    steps = len(pixels) // recipe.batch_size
    with devices.building():
        network.compile(
            make_optimizer(recipe, recipe.epochs * steps),
            keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
            metrics=["accuracy"],
            jit_compile=devices.xla,
        )
    clock = _Clock()
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]
    network.fit(
        pixels,
        one_hot,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        callbacks=[clock],
        verbose=0,
    )
    return clock.timing()


def ours(recipe: Recipe, pixels: np.ndarray, labels: np.ndarray, devices: Devices) -> Timing:
    """Times the project's training."""
    network = _network(recipe, devices)
    prepared = tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(128)
    steps = len(pixels) // recipe.batch_size
    with tempfile.TemporaryDirectory() as folder:
        clock = _Clock()
        train(
            network,
            training_batches(Images.prepared(prepared), len(pixels), recipe, SIZE, CLASSES),
            steps,
            recipe,
            Path(folder),
            devices=devices,
            checkpoints=f"{folder}/checkpoints",
            callbacks=[clock],
        )
        return clock.timing()


def _network(recipe: Recipe, devices: Devices) -> keras.Model:
    keras.backend.clear_session()
    with devices.building():
        return build_network(recipe, SIZE, CLASSES)


def main(argv: Sequence[str] | None = None) -> None:
    """Parses, times by turns, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--images", type=int, default=544)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--precision", choices=get_args(Precision), default="auto")
    args = parser.parse_args(argv)
    recipe = Recipe(epochs=args.epochs, sizes=((1.0, 1.0),))
    devices = choose(DeviceOptions(precision=args.precision), batch_size=recipe.batch_size)
    print(devices.describe(), flush=True)
    rng = np.random.default_rng(0)
    pixels = rng.random((args.images, SIZE, SIZE, 3), np.float32)
    labels = rng.integers(0, CLASSES, args.images)
    found: dict[Callable, list[Timing]] = {plain: [], ours: []}
    for number in range(args.rounds):
        for way in (plain, ours) if number % 2 else (ours, plain):
            timing = way(recipe, pixels, labels, devices)
            found[way].append(timing)
            print(
                f"{way.__name__:5} first step {timing.first_step:5.1f} s, then "
                f"{timing.step:.3f} s a step ({recipe.batch_size / timing.step:.1f} images/s), "
                f"whole {timing.whole:.1f} s",
                flush=True,
            )
    for name in ("first_step", "step", "whole"):
        ratios = [
            getattr(one, name) / getattr(other, name)
            for one, other in zip(found[plain], found[ours], strict=True)
        ]
        print(
            f"plain / ours, {name}: {statistics.median(ratios):.2f} {[round(r, 2) for r in ratios]}"
        )


if __name__ == "__main__":
    main()
