"""What a model says of single pictures, and what in a picture its answer hangs on.

The heat is that of Zeiler & Fergus 2014, section 4.2: part after part of a picture is covered, and
where that takes most from the answer, it is hot. Class-activation maps have nothing to show here:
the network's last map is 2 x 2 for a picture of 64 pixels, and finer ones light up the wall beside
the hand, since the blocks stride in convolutions of one cell.
"""

import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from signs import features

_BATCH = 32
_CELLS = 5  # a side, of the heat: with the whole picture they are one batch
_COVERED = 0.25  # of a side: about two fingers
_SIDE = 128  # pixels of the pictures that are covered, at most


@dataclass(frozen=True)
class Said:
    """Of n images.

    Attributes:
        class_names: The answers.
        confidence: float32 [n] in [0, 1].
        known: bool [n]; None where the model does not tell it.
    """

    class_names: list[str]
    confidence: np.ndarray
    known: np.ndarray | None


class Model:
    """An exported model, loaded."""

    def __init__(self, folder: Path) -> None:
        """Loads what `modules.signatures.export` wrote."""
        import tensorflow as tf

        self._loaded = tf.saved_model.load(str(folder))
        self._answer: Callable[..., dict[str, Any]] = self._loaded.signatures[features.SERVE_IMAGES]

    def ask(self, images: Sequence[bytes]) -> Said:
        """What it answers to encoded images, at least one."""
        whole = self._ask(images)
        # Models of earlier releases do not tell how sure they are.
        sure = whole.get(features.CONFIDENCE, whole[features.PROBABILITIES].max(axis=1))
        names = [name.decode() for name in whole[features.PREDICTED_CLASS_NAME]]
        return Said(names, sure, whole.get(features.KNOWN))

    def heat(self, image: bytes) -> np.ndarray:
        """What in an image its answer hangs on.

        Args:
            image: JPEG or PNG.

        Returns:
            How much less of the answer is left (as a logarithm) where a part is covered, divided by
            the most; float [cells, cells] in [0, 1].
        """
        with Image.open(io.BytesIO(image)) as opened:
            opened.draft("RGB", (2 * _SIDE, 2 * _SIDE))
            picture = opened.convert("RGB")
        picture.thumbnail((_SIDE, _SIDE))
        probabilities = self._ask([_png(picture), *_covered(picture)])[features.PROBABILITIES]
        found = np.log(np.maximum(probabilities[:, probabilities[0].argmax()], 1e-9))
        lost = np.maximum(found[0] - found[1:], 0).reshape(_CELLS, _CELLS)
        return lost / max(float(lost.max()), 1e-9)

    def _ask(self, images: Sequence[bytes]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        parts = []
        for first in range(0, len(images), _BATCH):
            found = self._answer(tf.constant(images[first : first + _BATCH]))
            parts.append({key: value.numpy() for key, value in found.items()})
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _covered(picture: Image.Image) -> list[bytes]:
    """The picture with one part after the other in its mean colour, row by row."""
    mean = tuple(round(value) for value in np.asarray(picture).mean(axis=(0, 1)))
    size = [max(1, round(_COVERED * side)) for side in picture.size]
    found = []
    for row, column in itertools.product(range(_CELLS), repeat=2):
        left, top = (
            round(place * (side - part) / (_CELLS - 1))
            for place, side, part in zip((column, row), picture.size, size, strict=True)
        )
        covered = picture.copy()
        covered.paste(mean, (left, top, left + size[0], top + size[1]))
        found.append(_png(covered))
    return found


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
