"""Pictures for the tests of `data.leaks`: smooth ones, as photographs are, and changed copies."""

import io

import numpy as np
from PIL import Image

from data.leaks.fingerprint import Fingerprint, fingerprint
from data.sample import Sample
from signs.image_bytes import encode_png


def scene(seed: int, side: int = 64) -> np.ndarray:
    """One picture of blurred patches, uint8 [side, side, 3]; another seed, another picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def shifted(pixels: np.ndarray, right: int, down: int) -> np.ndarray:
    """The picture moved within its frame; black comes in."""
    moved = np.zeros_like(pixels)
    height, width = pixels.shape[:2]
    moved[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = pixels[
        max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return moved


def resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture in another size."""
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(small)


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """The picture as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def sample(image: bytes | np.ndarray, source_id: str = "a.png") -> Sample:
    """A training image."""
    data = image if isinstance(image, bytes) else encode_png(image)
    return Sample(data, 0, "cat", source_id, "train")


def print_of(image: bytes | np.ndarray) -> Fingerprint:
    """The fingerprint of a picture."""
    return fingerprint(sample(image))
