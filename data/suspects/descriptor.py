"""One picture as numbers that are near for pictures of one kind.

encoded image -> Descriptor.describe -> one vector of a few parts, each compared for itself

By shape and colour it takes 10 KB a picture, and no training:

encoded image -> 64 x 64 pixels -> directions of edges (shape), small picture (colour)

Directions of edges are counted as by Dalal and Triggs (2005, "Histograms of oriented gradients"):
in cells of 8 x 8 pixels, and normalised over blocks of 2 x 2 cells.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

_SIDE, _CELL, _DIRECTIONS = 64, 8, 9
_CELLS = _SIDE // _CELL
_SMALL = 16  # pixels a side of the small picture
_LARGEST = 0.2  # of a normalised block: one strong edge does not decide alone
_SHAPE = (_CELLS - 1) ** 2 * 4 * _DIRECTIONS
_COLOUR = _SMALL**2 * 3


@dataclass(frozen=True)
class Descriptor:
    """How pictures are compared.

    Attributes:
        name: In words, as in "told by shape and colour".
        describe: Returns float32 [all sizes] for an encoded image; OSError if it does not decode.
        parts: Size and share of each part of what `describe` returns; the shares add up to 1.
    """

    name: str
    describe: Callable[[bytes], np.ndarray]
    parts: tuple[tuple[int, float], ...]

    @property
    def size(self) -> int:
        """How many numbers describe a picture."""
        return sum(size for size, _ in self.parts)


def describe(image: bytes) -> np.ndarray:
    """Returns shape and then colour: float32 [1764 + 768].

    Args:
        image: An encoded picture, of any size.

    Raises:
        OSError: It does not decode.
    """
    with Image.open(io.BytesIO(image)) as opened:
        picture = opened.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    small = picture.resize((_SMALL, _SMALL), Image.Resampling.BOX)
    shape = _directions(np.asarray(picture, np.float32).mean(axis=2) / 255)
    return np.concatenate([shape, np.asarray(small, np.float32).ravel() / 255])


def _directions(grey: np.ndarray) -> np.ndarray:
    down, right = np.gradient(grey)
    strength = np.hypot(down, right)
    # An edge counts for the two directions that it lies between.
    direction = np.arctan2(down, right) % np.pi / np.pi * _DIRECTIONS
    below = np.floor(direction).astype(int)
    above_share = direction - below
    cells = np.zeros((_CELLS, _CELLS, _DIRECTIONS), np.float32)
    rows, columns = np.indices(grey.shape) // _CELL
    np.add.at(cells, (rows, columns, below % _DIRECTIONS), strength * (1 - above_share))
    np.add.at(cells, (rows, columns, (below + 1) % _DIRECTIONS), strength * above_share)
    corners = [cells[y : _CELLS - 1 + y, x : _CELLS - 1 + x] for y in (0, 1) for x in (0, 1)]
    blocks = _normalised(np.concatenate(corners, axis=2))
    return _normalised(np.minimum(blocks, _LARGEST)).ravel()


def _normalised(blocks: np.ndarray) -> np.ndarray:
    return blocks / np.sqrt((blocks**2).sum(axis=2, keepdims=True) + 1e-3)


BY_SHAPE_AND_COLOUR = Descriptor("shape and colour", describe, ((_SHAPE, 0.8), (_COLOUR, 0.2)))
