"""How accurate a recipe is: trainings on the real images, one line of JSON each.

    python benchmarks/recipe.py --data 64x64_SIGNS.zip --split eval --set epochs=24 --out runs.jsonl

`--split` says what is trained on and what is predicted:

eval        `train` -> `eval`: for choosing. 864 images -> 216, burst neighbours on both sides.
fold-1...5  a fifth of each class of `train` and `eval` is held out, from one stretch of the
            photographs' numbers. What shows nearly the same is left out of the training: whatever
            was taken within ten numbers of a held-out photograph, and every copy of one.
test        `train` and `eval` -> `test`: for reporting, never for choosing.

`--also other_hands/` predicts further pictures too, of any source; those whose class is none of the
six are to be refused.

A training that is in the file already is not repeated: a study that was stopped goes on.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from data.converting.convert import ingest
from data.leaks.bursts import is_within, number_of
from data.leaks.fingerprint import digest_of_pixels
from data.sample import Sample, read_samples
from drawing import NO_SIGN, SIGNS
from modules.machines.options import DeviceOptions, Precision
from modules.training.recipe import Recipe
from signs import features

FOLDS = 5


@dataclass(frozen=True)
class Photographs:
    """Decoded images with what is known of each.

    Attributes:
        pixels: uint8 [n, size, size, 3].
        labels: int64 [n].
        numbers: int64 [n], the photographs' numbers, as the camera counted them.
        is_in: for each split, bool [n].
    """

    pixels: np.ndarray
    labels: np.ndarray
    numbers: np.ndarray
    is_in: dict[str, np.ndarray]

    def twins(self) -> np.ndarray:
        """Groups of pixel-identical images: int64 [n], equal for images that are equal."""
        digests = [digest_of_pixels(image) for image in self.pixels]
        return np.unique(digests, return_inverse=True)[1]


@dataclass(frozen=True)
class Others:
    """Further pictures, decoded.

    Attributes:
        pixels: uint8 [n, size, size, 3].
        labels: int64 [n]; NO_SIGN for what shows none of the six.
    """

    pixels: np.ndarray
    labels: np.ndarray


def read_others(source: str, workspace: Path) -> Others:
    """Decodes further pictures; their classes are the six by name, or none of them."""
    import tensorflow as tf

    from modules.preprocessing import prepare_images

    ingested = ingest(source, workspace, name="also")
    samples = [
        sample for split in features.SPLITS for sample in read_samples(ingested.directory / split)
    ]
    pixels = prepare_images(tf.constant([one.image for one in samples]), features.IMAGE_SIZE)
    label_of = {str(sign): sign for sign in SIGNS}
    return Others(
        np.round(pixels.numpy() * 255).astype(np.uint8),
        np.array([label_of.get(one.class_name, NO_SIGN) for one in samples]),
    )


def read_photographs(source: str, workspace: Path) -> Photographs:
    """Ingests CS230's zip and decodes every image."""
    import tensorflow as tf

    from modules.preprocessing import prepare_images

    ingested = ingest(source, workspace)
    samples: list[Sample] = []
    for split in features.SPLITS:
        samples += sorted(
            read_samples(ingested.directory / split), key=lambda sample: sample.source_id
        )
    pixels = prepare_images(tf.constant([one.image for one in samples]), features.IMAGE_SIZE)
    return Photographs(
        np.round(pixels.numpy() * 255).astype(np.uint8),
        np.array([one.label for one in samples]),
        np.array([_number(one.source_id) for one in samples]),
        {split: np.array([one.split == split for one in samples]) for split in features.SPLITS},
    )


def _number(source_id: str) -> int:
    number = number_of(source_id)
    if number is None:
        raise SystemExit(f"{source_id} has no number: this wants CS230's zip of the photographs")
    return number


def split_photographs(photographs: Photographs, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Chooses what to train on and what to predict.

    Args:
        photographs: all of them.
        split: "eval", "test" or "fold-1" to "fold-5".

    Returns:
        Indices to train on, and to predict: int64.
    """
    is_in = photographs.is_in
    if split == features.EVAL:
        return np.flatnonzero(is_in[features.TRAIN]), np.flatnonzero(is_in[features.EVAL])
    known = is_in[features.TRAIN] | is_in[features.EVAL]
    if split == features.TEST:
        return np.flatnonzero(known), np.flatnonzero(is_in[features.TEST])
    fold = int(split.removeprefix("fold-")) - 1
    held = np.zeros(len(known), bool)
    for label in np.unique(photographs.labels):
        members = np.flatnonzero(known & (photographs.labels == label))
        members = members[np.argsort(photographs.numbers[members], kind="stable")]
        held[np.array_split(members, FOLDS)[fold]] = True
    twins = photographs.twins()
    alike = np.isin(twins, twins[held])
    is_beside = is_within(photographs.numbers, photographs.numbers[held])
    return np.flatnonzero(known & ~held & ~alike & ~is_beside), np.flatnonzero(held)


def run_trial(
    photographs: Photographs,
    split: str,
    recipe: Recipe,
    *,
    course: bool = False,
    watch: bool = False,
    others: Others | None = None,
    precision: Precision = "auto",
) -> dict[str, Any]:
    """Trains once and predicts what was held out.

    Args:
        photographs: all of them.
        split: see `split_photographs`.
        recipe: how to train.
        course: train as the course's notebook does instead: Adam at Keras's defaults, 32 images a
            batch, full size, no augmentation, batch norms at Keras's momentum. Of the recipe count
            the epochs and the seed.
        watch: predict after each epoch too.
        others: further pictures to predict.
        precision: what to train in: see modules.machines.options.

    Returns:
        What came of it, as JSON holds it.
    """
    import tensorflow as tf

    from modules.machines.devices import choose, float32_copy
    from modules.training.drawings import drawings, drawings_in_step
    from modules.training.images import Images
    from modules.training.input import share_of_batch, steps_per_epoch, training_batches
    from modules.training.loop import build_network, train

    devices = choose(DeviceOptions(precision="float32" if course else precision))
    train_on, predict = split_photographs(photographs, split)
    pixels = photographs.pixels.astype(np.float32) / 255
    labels = photographs.labels
    if course:
        recipe = replace(recipe, zero_last_gamma=False)
    class_names = [str(label) for label in range(int(labels.max()) + 1)]
    with devices.building():
        network = build_network(recipe, pixels.shape[1], len(class_names))
    held = tf.data.Dataset.from_tensor_slices((pixels[predict], labels[predict])).batch(60)
    validation = held if watch else None
    begun = time.monotonic()
    if course:
        by_epoch = _train_as_the_course(
            network, pixels[train_on], labels[train_on], recipe.epochs, validation
        )
        images_seen = len(train_on) * recipe.epochs
    else:
        prepared = tf.data.Dataset.from_tensor_slices((pixels[train_on], labels[train_on]))
        count, size = len(train_on), pixels.shape[1]
        steps = steps_per_epoch(count, recipe)
        in_step = drawings_in_step(recipe, class_names, share_of_batch(count, recipe))
        drawn = drawings(recipe, class_names, size, in_step, recipe.epochs * steps)
        batches = training_batches(
            Images.prepared(prepared.batch(128)), count, recipe, size, len(class_names), drawn=drawn
        )
        with tempfile.TemporaryDirectory() as run_dir:
            by_epoch = train(
                network,
                batches,
                steps,
                recipe,
                Path(run_dir),
                validation=validation,
                devices=devices,
            )
        images_seen = recipe.epochs * steps * recipe.batch_size
    seconds = time.monotonic() - begun
    network = float32_copy(network)
    answers = network.predict(held.map(lambda image, _: image), verbose=0)
    right = answers.argmax(axis=1) == labels[predict]
    more: dict[str, Any] = {}
    if others:
        known = pixels[train_on], labels[train_on]
        more["also"] = _judged(network, recipe, class_names, known, pixels[predict], others)
    twins = photographs.twins()
    alone = ~np.isin(twins[predict], twins[train_on])
    return {
        "trained_on": len(train_on),
        "right": int(right.sum()),
        **more,
        "of": len(right),
        "accuracy": float(right.mean()),
        "right_without_twin": int(right[alone].sum()),
        "of_without_twin": int(alone.sum()),
        "wrong": [int(number) for number in photographs.numbers[predict][~right]],
        "images_seen": images_seen,
        "seconds": round(seconds, 1),
        "loss": by_epoch["loss"][-1],
        "accuracy_by_epoch": by_epoch.get("val_accuracy"),
    }


def _judged(
    network: Any,
    recipe: Recipe,
    class_names: list[str],
    known: tuple[np.ndarray, np.ndarray],
    held: np.ndarray,
    others: Others,
) -> dict[str, Any]:
    """How a network does on further pictures, and which it refuses.

    `known` is what it is calibrated on, float32 pixels and labels; `held` the pixels that were held
    out of the training.
    """
    import tensorflow as tf

    from modules.calibration import calibrate, expected_calibration_error
    from modules.network import logits_of

    compute = logits_of(network)

    def answers(pixels: np.ndarray) -> np.ndarray:
        parts = np.array_split(pixels, -(-len(pixels) // 64))
        return np.concatenate([compute(tf.constant(part)).numpy() for part in parts])

    order = np.random.default_rng(recipe.seed).permutation(len(known[0]))
    images = tf.data.Dataset.from_tensor_slices(tuple(part[order] for part in known)).batch(64)
    calibration, numbers = calibrate(compute, images, recipe, class_names)
    logits = answers(others.pixels.astype(np.float32) / 255)
    answered = calibration.known(logits).numpy()
    confidence = calibration.confidence(logits).numpy()
    is_sign = others.labels != NO_SIGN
    right = logits.argmax(axis=1) == others.labels

    def share(answers: np.ndarray) -> float | None:
        return float(answers.mean()) if len(answers) else None

    return {
        "right": int(right.sum()),
        "of": int(is_sign.sum()),
        "accuracy": share(right[is_sign]),
        "by_class": [share(right[others.labels == sign]) for sign in SIGNS],
        "refused": share(~answered[is_sign]),
        "accuracy_of_answered": share(right[is_sign & answered]),
        "calibration_error": expected_calibration_error(confidence[is_sign], right[is_sign]),
        "no_sign": int((~is_sign).sum()),
        "no_sign_refused": share(~answered[~is_sign]),
        "held_refused": share(~calibration.known(answers(held)).numpy()),
        "calibration": numbers,
    }


def _train_as_the_course(
    network: Any, pixels: np.ndarray, labels: np.ndarray, epochs: int, validation: Any
) -> dict[str, list[float]]:
    import keras

    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.99
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = network.fit(
        pixels, labels, batch_size=32, epochs=epochs, validation_data=validation, verbose=0
    )
    return history.history


def main(argv: Sequence[str] | None = None) -> None:
    """Parses, trains what is not in the file yet, prints each line as it is written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="CS230's zip")
    parser.add_argument("--split", nargs="+", default=[features.EVAL])
    parser.add_argument("--seed", nargs="+", type=int, default=[0])
    parser.add_argument("--name", default="recipe", help="what to call the recipe in the file")
    parser.add_argument("--set", nargs="*", default=[], help="as in epochs=24 augmentation.scale=0")
    parser.add_argument("--course", action="store_true", help="the course's training instead")
    parser.add_argument("--watch", action="store_true", help="predict after each epoch too")
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="auto", help="as devices.precision"
    )
    parser.add_argument("--also", help="further pictures to predict: any source")
    parser.add_argument("--out", type=Path, required=True, help="file of results, added to")
    args = parser.parse_args(argv)

    recipe = recipe_with(args.set)
    done = args.out.read_text().splitlines() if args.out.exists() else []
    with tempfile.TemporaryDirectory() as workspace:
        photographs, others = None, None
        for split in args.split:
            for seed in args.seed:
                which = {"name": args.name, "split": split, "seed": seed, "set": args.set}
                if any(which.items() <= json.loads(line).items() for line in done):
                    continue
                photographs = photographs or read_photographs(args.data, Path(workspace))
                if args.also and others is None:
                    others = read_others(args.also, Path(workspace))
                result = run_trial(
                    photographs,
                    split,
                    replace(recipe, seed=seed),
                    course=args.course,
                    watch=args.watch,
                    others=others,
                    precision=args.precision,
                )
                line = json.dumps({**which, **result})
                print(line, flush=True)
                with args.out.open("a") as file:
                    file.write(line + "\n")


def recipe_with(settings: Sequence[str]) -> Recipe:
    """The default recipe with `name=value` settings, their names as `signs run` has them."""
    from pipeline.config import Data, PipelineConfig, override

    any_data = Data("any", 1, ("a", "b"), dict.fromkeys(features.SPLITS, 1))
    return override(PipelineConfig(any_data), [f"train.{setting}" for setting in settings]).train


if __name__ == "__main__":
    main()
