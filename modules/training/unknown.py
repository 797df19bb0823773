"""Pictures that show none of the classes, made of nothing and of pictures that do.

A model is to say of such that it does not know them: see modules.calibration.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from drawing import NO_SIGN, draw

_OTHER_DRAWINGS = -1  # seeds of recipes are positive
_CELLS = 4  # a side: what is cut into so many shows no hand any more

# (an image, one of another class, what chooses) -> a picture as large as they
_Kind = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def unknown_pictures(images: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Makes a picture for each image, of all kinds in turn.

    Args:
        images: float32 [n, size, size, 3] in [0, 1].
        labels: their classes, int64 [n].
        seed: the same one makes the same pictures.

    Returns:
        float32 [n, size, size, 3] in [0, 1].
    """
    rng = np.random.default_rng(seed)
    kinds = np.resize(rng.permutation(len(_KINDS)), len(images))
    pictures = np.empty_like(images)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        others = np.flatnonzero(labels != label)
        other = images[rng.choice(others)] if len(others) else image[::-1]
        pictures[index] = np.clip(_KINDS[kinds[index]](image, other, rng), 0, 1)
    return pictures


def no_signs(count: int, size: int, seed: int) -> np.ndarray:
    """Draws hands that show none of SIGNS's signs, and none of which a training has.

    Returns:
        uint8 [count, size, size, 4]: RGB, and how much of a pixel the hand covers.
    """
    drawn = [draw(_OTHER_DRAWINGS - seed, index, NO_SIGN, size) for index in range(count)]
    return np.stack(drawn) if drawn else np.zeros((0, size, size, 4), np.uint8)


def _noise(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each pixel by itself, about some colour."""
    return rng.normal(_colour(rng), rng.uniform(0.05, 0.5), image.shape)


def _texture(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Soft spots of a few colours."""
    cells = rng.integers(2, 9)
    spots = rng.uniform(0, 1, (cells, cells, 3))
    return tf.image.resize(spots, image.shape[:2], "bicubic").numpy()


def _gradient(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One colour that goes over into another."""
    place = np.linspace(-0.5, 0.5, len(image))
    angle = rng.uniform(0, 2 * np.pi)
    share = 0.5 + np.sin(angle) * place[:, None, None] + np.cos(angle) * place[None, :, None]
    return share * _colour(rng) + (1 - share) * _colour(rng)


def _flat(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One colour, with a camera's noise."""
    return rng.normal(_colour(rng), 0.02, image.shape)


def _shuffled(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image, cut into cells that have changed their places."""
    side = len(image) // _CELLS
    picture = image.copy()  # of whose last rows and columns some may belong to no cell
    corners = [(side * (cell // _CELLS), side * (cell % _CELLS)) for cell in range(_CELLS**2)]
    for (row, column), (old_row, old_column) in zip(corners, rng.permutation(corners), strict=True):
        picture[row : row + side, column : column + side] = image[
            old_row : old_row + side, old_column : old_column + side
        ]
    return picture


def _blend(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Both images, one shining through the other."""
    share = rng.uniform(0.4, 0.6)
    return share * image + (1 - share) * other


def _colour(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0, 1, 3)


_KINDS: tuple[_Kind, ...] = (_noise, _texture, _gradient, _flat, _shuffled, _blend)
