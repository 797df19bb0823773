"""One image as what it is compared by: 1.3 KB, however large it is.

encoded image -> pixels -> digest (equal pixels), perceptual hashes (alike), a small grey picture
"""

import hashlib
import io
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

from data.pictures import Picture
from data.sample import Sample

SIDE = 32  # of the small picture, pixels
_DIGEST_BYTES = 16
_GRID = 2 * SIDE
_SHIFT = 2  # pixels of the grid: how far a copy may be shifted in either direction
# Where the hashed part lies in the grid. A copy that is shifted has in the middle (the first of
# these) what its original has at one of the others, or the other way round: opposite directions
# need not both be here.
_PLACES = ((0, 0), (_SHIFT, 0), (0, _SHIFT), (_SHIFT, _SHIFT), (_SHIFT, -_SHIFT))


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an image is compared by.

    Attributes:
        picture: Which image it is; its digest is that of the decoded pixels.
        hashes: uint64 [5], as bytes: perceptual hashes of the middle, and of the picture's shifts.
        small: uint8 [32, 32], as bytes: grey.
    """

    picture: Picture
    hashes: bytes
    small: bytes


def digest_of_pixels(pixels: np.ndarray) -> str:
    """Returns a digest that is the same for equal pixels.

    Args:
        pixels: uint8 [height, width, 3].
    """
    hashed = hashlib.blake2b(str(pixels.shape).encode(), digest_size=_DIGEST_BYTES)
    hashed.update(np.ascontiguousarray(pixels).data)
    return hashed.hexdigest()


def fingerprint(sample: Sample) -> Fingerprint:
    """Returns what an image is compared by.

    Raises:
        OSError: The image does not decode.
    """
    # Pillow gives the pixels that the Transform graph gives: see modules.preprocessing.decode.
    with Image.open(io.BytesIO(sample.image)) as image:
        pixels = image.convert("RGB")
    picture = Picture(
        digest_of_pixels(np.asarray(pixels)), sample.source_id, sample.split, sample.class_name
    )
    grid = pixels.convert("L").resize((_GRID, _GRID), Image.Resampling.BILINEAR)
    return Fingerprint(picture, _hashes(grid), grid.reduce(_GRID // SIDE).tobytes())


def _hashes(grid: Image.Image) -> bytes:
    end = _GRID - _SHIFT
    parts = [grid.crop((_SHIFT + x, _SHIFT + y, end + x, end + y)) for x, y in _PLACES]
    return b"".join(np.packbits(imagehash.phash(part).hash).tobytes() for part in parts)
