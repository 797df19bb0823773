"""Drawn hands that are trained on beside the images of a data set, where its classes are SIGNS's.

A thousand photographs of a few people show few hands; drawings show as many as are asked for, and
hands that show none of the signs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drawing import NO_SIGN, SIGNS, draw
from modules.training.recipe import Recipe

MOST = 8_000  # drawings; each is changed anew whenever it is shown
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Drawings:
    """Drawn hands in memory.

    Attributes:
        pixels: uint8 [n, size, size, 4]: RGB, and how much of a pixel the hand covers.
        labels: int64 [n]: a class of the data set, or their number for a hand that shows no sign.
        share: of them in a step, for each image of the data set.
    """

    pixels: np.ndarray
    labels: np.ndarray
    share: float


def drawings(
    recipe: Recipe, class_names: Sequence[str], image_size: int, images: int
) -> Drawings | None:
    """Draws what a training wants.

    Args:
        recipe: how many for each image, and its seed.
        class_names: the data set's, in the order of the labels.
        image_size: pixels a side.
        images: how many images of the data set the training shows, each as often as it does.

    Returns:
        MOST drawings, or fewer where the training shows fewer or memory holds fewer; None if it
        wants none, or if the classes are others than SIGNS's.
    """
    if sorted(class_names) != [str(sign) for sign in SIGNS]:
        return None
    count = min(round(images * recipe.drawn), MOST, _MOST_BYTES // (image_size**2 * 4))
    if not count:
        return None
    label_of = {sign: class_names.index(str(sign)) for sign in SIGNS} | {NO_SIGN: len(SIGNS)}
    is_other = np.random.default_rng(recipe.seed).random(count) < recipe.drawn_no_sign
    signs = np.where(is_other, NO_SIGN, np.arange(count) % len(SIGNS)).tolist()
    return Drawings(
        np.stack([draw(recipe.seed, index, sign, image_size) for index, sign in enumerate(signs)]),
        np.array([label_of[sign] for sign in signs]),
        recipe.drawn,
    )
