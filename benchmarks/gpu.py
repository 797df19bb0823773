"""How fast a training is on the GPUs of this machine: one line of JSON for each measurement.

    python -m benchmarks.gpu --data 64x64_SIGNS.zip --out gpu.jsonl

input    images a second that the processor chooses, and that it finishes (augmented, float32)
steps    `fit` with its input: batches of 32 to 1,024 images of 64 pixels, 32 to 512 of 224; the
         precision and the number of steps of one call as a training has them, and otherwise
xla      the same with XLA, with the time that it takes to compile
recipe   the recipe on SIGNS from beginning to end, with drawn hands, checkpoints and logs, and what
         it gets right

Each part has a process and a time limit of its own, and each line is written when it is known: what
has been measured is not lost with what follows; where a part fails, its line says so, and the exit
code is 1. `--tiny` has a small network, small images and few
steps: a rehearsal in a minute of a processor, on any machine. It needs no more of the project's
packages than TensorFlow, Keras, Pillow and Pydantic.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from drawing import SIGNS
from modules.machines.options import DeviceOptions
from modules.training.recipe import Recipe

CLASS_NAMES = [str(sign) for sign in SIGNS]
CLASSES = len(CLASS_NAMES)
LIMITS_S = {"input": 60, "steps": 300, "xla": 240, "recipe": 240}
FULL_SIZE = ((1.0, 1.0),)


@dataclass(frozen=True)
class Settings:
    """What is measured, and for how long."""

    recipe: Recipe
    steps: tuple[tuple[int, int], ...]  # pixels a side, images a batch
    xla: tuple[tuple[int, int], ...]
    size: int  # pixels a side of the recipe's images
    images: int | None  # of the photographs at most; None takes all
    seconds: float  # for each measurement, at least


FULL = Settings(
    Recipe(),
    steps=((64, 32), (64, 128), (64, 512), (64, 1024), (224, 32), (224, 128), (224, 512)),
    xla=((64, 32), (64, 512), (224, 128)),
    size=64,
    images=None,
    seconds=4.0,
)
TINY = Settings(
    Recipe(blocks=(1,), width=4, epochs=2, batch_size=8, sizes=((0.5, 0.5), (0.5, 1.0))),
    steps=((16, 4),),
    xla=((16, 4),),
    size=32,
    images=32,
    seconds=0.2,
)


def measure_input(settings: Settings, data: Path, tell: Callable[..., None]) -> None:
    """Without a network: what the processor does for each batch."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    for size, batch in settings.steps:
        batches = _batches(_recipe(settings, batch), size)
        for what, dataset in (("chosen", batches.chosen(0)), ("finished", batches(0))):
            iterator = iter(dataset)
            rate = _rate(lambda n, iterator=iterator: [next(iterator) for _ in range(n)], settings)
            tell(what=what, size=size, batch=batch, images_s=round(rate * batch, 1))


def measure_steps(settings: Settings, data: Path, tell: Callable[..., None]) -> None:
    """The training step, with its input, as the recipe's training makes it."""
    for size, batch in settings.steps:
        tell(**_step(settings, size, batch, DeviceOptions(), at_once=10))
    size, batch = settings.steps[0]
    tell(**_step(settings, size, batch, DeviceOptions(), at_once=1))
    tell(**_step(settings, size, batch, DeviceOptions(precision="float32"), at_once=10))
    # Last: operations stay deterministic in this process.
    tell(**_step(settings, size, batch, DeviceOptions(deterministic=True), at_once=10))


def measure_xla(settings: Settings, data: Path, tell: Callable[..., None]) -> None:
    """The same compiled by XLA. The first seconds are those of its compilation."""
    for size, batch in settings.xla:
        tell(**_step(settings, size, batch, DeviceOptions(gpus=_at_most_one(), xla=True), 10))


def measure_recipe(settings: Settings, data: Path, tell: Callable[..., None]) -> None:
    """The whole training on `train` and `eval`, judged on `test`."""
    pixels, labels, is_test = read_photographs(data, settings.size)

    import tensorflow as tf

    from modules.machines.devices import choose, float32_copy
    from modules.training.drawings import drawings, drawings_in_step
    from modules.training.images import Images
    from modules.training.input import share_of_batch, steps_per_epoch, training_batches
    from modules.training.loop import build_network, train

    known = np.flatnonzero(~is_test)[: settings.images]
    held = np.flatnonzero(is_test)[: settings.images]
    recipe = settings.recipe
    devices = choose(DeviceOptions(), batch_size=min(recipe.batch_size, len(known)))
    prepared = tf.data.Dataset.from_tensor_slices((pixels[known] / np.float32(255), labels[known]))
    steps = steps_per_epoch(len(known), recipe)
    in_step = drawings_in_step(recipe, CLASS_NAMES, share_of_batch(len(known), recipe))
    begun = time.monotonic()
    drawn = drawings(recipe, CLASS_NAMES, settings.size, in_step, recipe.epochs * steps)
    drawn_s = time.monotonic() - begun
    begun = time.monotonic()
    with devices.building():
        network = build_network(recipe, settings.size, CLASSES)
    told: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            network,
            training_batches(
                Images.prepared(prepared.batch(128)),
                len(known),
                recipe,
                settings.size,
                CLASSES,
                drawn=drawn,
            ),
            steps,
            recipe,
            Path(folder),
            devices=devices,
            checkpoints=f"{folder}/checkpoints",
            tell=lambda progress: told.append(time.monotonic() - begun),
        )
    seconds = time.monotonic() - begun
    answers = float32_copy(network).predict(pixels[held] / np.float32(255), verbose=0)
    tell(
        devices=devices.describe(),
        images=len(known),
        drawn=len(drawn.labels) if drawn else 0,
        drawn_s=round(drawn_s, 2),
        epochs=recipe.epochs,
        seconds=round(seconds, 2),
        to_first_told_s=round(told[0], 2),  # tracing, for the most part
        right=int((answers.argmax(axis=1) == labels[held]).sum()),
        of=len(held),
    )


PARTS = {
    "input": measure_input,
    "steps": measure_steps,
    "xla": measure_xla,
    "recipe": measure_recipe,
}


def read_photographs(path: Path, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads CS230's zip.

    Returns:
        uint8 [n, size, size, 3]; int64 [n] labels; bool [n], whether an image is of `test`.
    """
    with zipfile.ZipFile(path) as file:
        found = {
            name: match
            for name in sorted(file.namelist())
            if (match := re.search(r"(train|val|test)_signs/(\d)_IMG_\d+[^/]*\.jpg$", name))
            and "__MACOSX" not in name
        }
        if not found:
            raise SystemExit(f"{path} has no photographs: this wants CS230's zip of them")
        images = [file.read(name) for name in found]

    import tensorflow as tf

    from modules.preprocessing import prepare_images

    pixels = tf.function(prepare_images)(tf.constant(images), size).numpy()
    pixels = np.rint(pixels * 255).astype(np.uint8)
    labels = np.array([int(match[2]) for match in found.values()])
    return pixels, labels, np.array([match[1] == "test" for match in found.values()])


def _recipe(settings: Settings, batch: int) -> Recipe:
    return replace(settings.recipe, batch_size=batch, epochs=100_000, sizes=FULL_SIZE)


def _batches(recipe: Recipe, size: int) -> Any:
    """Noise, one batch of it ten times an epoch."""
    import tensorflow as tf

    from modules.training.images import Images
    from modules.training.input import training_batches

    count = 10 * recipe.batch_size
    pixels = np.random.default_rng(0).random((recipe.batch_size, size, size, 3), np.float32)
    labels = np.arange(recipe.batch_size) % CLASSES
    prepared = tf.data.Dataset.from_tensors((pixels, labels)).repeat(10)
    return training_batches(Images.prepared(prepared), count, recipe, size, CLASSES)


def _step(
    settings: Settings, size: int, batch: int, options: DeviceOptions, at_once: int
) -> dict[str, Any]:
    import keras

    from modules.machines.devices import choose
    from modules.training.loop import build_network, compiled, feed
    from modules.training.tell_progress import CallbackList

    keras.backend.clear_session()
    recipe = _recipe(settings, batch)
    devices = choose(options, batch_size=batch)
    if devices.strategy.num_replicas_in_sync > 1:
        at_once = 1
    with devices.building():
        network = build_network(recipe, size, CLASSES)
    trained = compiled(network, recipe, 10, devices, at_once=at_once)
    batches = feed(trained, _batches(recipe, size), 0, devices)

    def fit(steps: int) -> None:
        callbacks = CallbackList([], add_history=True, model=trained)
        trained.fit(batches, steps_per_epoch=steps, callbacks=callbacks, shuffle=False, verbose=0)

    begun = time.perf_counter()
    fit(at_once)
    first = time.perf_counter() - begun
    rate = _rate(lambda steps: fit(at_once * steps), settings) * at_once
    return {
        "devices": devices.describe(),
        "size": size,
        "batch": batch,
        "steps_at_once": at_once,
        "first_s": round(first, 2),
        "step_ms": round(1e3 / rate, 3),
        "images_s": round(rate * batch, 1),
    }


def _rate(do: Callable[[int], object], settings: Settings) -> float:
    """How often a second something can be done, by doing it ever more often."""
    count = 1
    while True:
        begun = time.perf_counter()
        do(count)
        spent = time.perf_counter() - begun
        if spent >= settings.seconds:
            return count / spent
        count *= 2


def _at_most_one() -> int | None:
    import tensorflow as tf

    return 1 if tf.config.list_physical_devices("GPU") else None


def main(argv: Sequence[str] | None = None) -> None:
    """Parses, then measures part after part, each in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="CS230's zip, for the recipe")
    parser.add_argument("--out", type=Path, required=True, help="file of results, added to")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--budget", type=float, default=600.0, help="seconds for all parts")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # no processes
    args = parser.parse_args(argv)
    if "recipe" in args.parts and args.data is None:
        parser.error("the recipe wants --data: CS230's zip, or leave it out of --parts")

    def tell(part: str, **found: Any) -> None:
        line = json.dumps({"part": part, **found})
        print(line, flush=True)
        with args.out.open("a") as file:
            file.write(line + "\n")

    ends = time.monotonic() + args.budget
    failed = False
    for part in args.parts:
        if args.here:
            PARTS[part](TINY if args.tiny else FULL, args.data, partial(tell, part))
            continue
        limit = min(LIMITS_S[part], ends - time.monotonic())
        if limit <= 0:
            failed = True
            tell(part, error="no time is left")
            continue
        command = [sys.executable, "-m", "benchmarks.gpu", "--here", "--parts", part]
        command += ["--out", str(args.out), *(["--tiny"] if args.tiny else [])]
        command += ["--data", str(args.data)] if args.data else []
        try:
            done = subprocess.run(command, timeout=limit, check=False, stderr=subprocess.PIPE)
        except subprocess.TimeoutExpired:
            failed = True
            tell(part, error=f"ended after its limit of {limit:.0f} s")
            continue
        if done.returncode:
            failed = True
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            tell(part, error=" ".join([f"exit code {done.returncode}", *last]))
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
