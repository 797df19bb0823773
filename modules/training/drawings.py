"""Drawn hands that are trained on beside the images of a data set, where its classes are SIGNS's.

A thousand photographs of a few people show few hands; drawings show as many as are asked for, and
hands that show none of the signs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from drawing import NO_SIGN, SIGNS, draw, shows_signs
from modules.machines.workers import Workers
from modules.training.recipe import Recipe

MOST = 8_000  # drawings; each is changed anew whenever it is shown
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Drawings:
    """Drawn hands in memory.

    Attributes:
        pixels: uint8 [n, size, size, 4]: RGB, and how much of a pixel the hand covers.
        labels: int64 [n]: a class of the data set, or their number for a hand that shows no sign.
        in_step: how many of them a step has.
    """

    pixels: np.ndarray
    labels: np.ndarray
    in_step: int


def drawings_in_step(recipe: Recipe, class_names: Sequence[str], images: int) -> int:
    """How many drawings a step has beside so many images: none where classes are not SIGNS's."""
    return round(images * recipe.drawn) if shows_signs(class_names) else 0


def drawings(
    recipe: Recipe, class_names: Sequence[str], image_size: int, in_step: int, steps: int
) -> Drawings | None:
    """Draws what a training wants.

    Args:
        recipe: its seed, and how many shall show no sign.
        class_names: the data set's, in the order of the labels.
        image_size: pixels a side.
        in_step: what `drawings_in_step` returned.
        steps: of the training.

    Returns:
        MOST drawings, or fewer where the training shows fewer or memory holds fewer; None for none
        in a step.
    """
    if not in_step:
        return None
    count = min(in_step * steps, MOST, _MOST_BYTES // (image_size**2 * 4))
    label_of = {sign: class_names.index(str(sign)) for sign in SIGNS} | {NO_SIGN: len(SIGNS)}
    is_other = np.random.default_rng(recipe.seed).random(count) < recipe.drawn_no_sign
    signs = np.where(is_other, NO_SIGN, np.arange(count) % len(SIGNS)).tolist()
    return Drawings(
        np.stack([draw(recipe.seed, index, sign, image_size) for index, sign in enumerate(signs)]),
        np.array([label_of[sign] for sign in signs]),
        in_step,
    )


def beside(
    chosen: Callable[[int], tf.data.Dataset],
    images: int,
    drawn: Drawings,
    seed: int,
    workers: Workers,
) -> Callable[[int], tf.data.Dataset]:
    """Adds drawings to the batches of a training.

    Args:
        chosen: as in `Batches`: from an epoch to batches of pixels, labels and step.
        images: how many images are in a batch here.
        drawn: what to add.
        seed: decides, with the step, which drawings a step has.
        workers: who else has a part of each batch. Together they have the drawings that one alone
            would have.

    Returns:
        The same function, with the drawings among the images: each of several GPUs that share a
        batch then has its share of both.
    """
    places = [(np.arange(count) + 0.5) / count for count in (images, drawn.in_step)]
    turns = tf.constant(np.argsort(np.concatenate(places), kind="stable"))
    pixels, labels = tf.constant(drawn.pixels), tf.constant(drawn.labels)

    def add(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        step = batch[-1][0]
        which = tf.random.stateless_uniform(
            [workers.count, drawn.in_step],
            tf.stack([tf.constant(seed, tf.int64), step]),
            maxval=len(drawn.labels),
            dtype=tf.int32,
        )[workers.index]
        added = tf.gather(pixels, which), tf.gather(labels, which), tf.fill([drawn.in_step], step)
        return tuple(
            tf.gather(tf.concat(both, 0), turns) for both in zip(batch, added, strict=True)
        )

    return lambda epoch: chosen(epoch).map(add)
