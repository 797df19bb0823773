"""A data set of drawn hands: SIGNS to try everything with, without a download.

    (seed, index) -> `drawing`: a hand -> a wall behind it -> a photograph, 64x64 RGB

An image is a pure function of (seed, index), so workers can draw any part of any number of images.
`python -m data.synthetic picture.png` writes the montage in the documentation.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from drawing import SIGNS, draw_hand
from signs.features import EVAL, IMAGE_SIZE, TEST, TRAIN

DEFAULT_COUNT = 1_200
CLASS_NAMES = tuple(str(sign) for sign in SIGNS)
# Part of the fingerprint: raise it when the same (seed, index) gives another picture.
GENERATOR_VERSION = 2

_TURNED = 0.4  # a thousand drawings are to be learnt within minutes

# Ten blocks of one image per class: every split has its share from 18 images on.
_BLOCKS = (TRAIN, EVAL, TEST) + (TRAIN,) * 7


def label_of(index: int) -> int:
    """Returns the sign that image `index` shows; the classes take turns."""
    return index % len(CLASS_NAMES)


def split_of(index: int) -> str:
    """Returns the split of image `index`: 80 % train, 10 % eval, 10 % test in every class."""
    return _BLOCKS[index // len(CLASS_NAMES) % len(_BLOCKS)]


def draw(seed: int, index: int) -> np.ndarray:
    """Draws one hand.

    Args:
        seed: Any integer; another seed gives other pictures of the same kind.
        index: Which picture, from 0; it shows the sign `label_of(index)`.

    Returns:
        uint8 [64, 64, 3], RGB.
    """
    rng = np.random.default_rng([seed & (2**64 - 1), index])
    skin, cover, light = draw_hand(rng, label_of(index), turned=_TURNED)
    return _photograph(rng, _background(rng, cover[..., 0], light) * (1 - cover) + skin)


def montage(seed: int = 0, columns: int = 10, size: int = 64) -> Image.Image:
    """Returns a labelled picture with one row of `columns` hands for every class.

    Args:
        seed: The seed of the hands.
        columns: How many hands a row shows.
        size: Pixels that each hand is shown at, a side.
    """
    gap, margin = 4, 28
    classes = len(CLASS_NAMES)
    width, height = margin + columns * (size + gap), classes * (size + gap) + gap
    picture = Image.new("RGB", (width, height), "white")
    write = ImageDraw.Draw(picture)
    font = ImageFont.load_default(20)
    for label, name in enumerate(CLASS_NAMES):
        top = gap + label * (size + gap)
        write.text((margin / 2, top + size / 2), name, "black", font, anchor="mm")
        for column in range(columns):
            hand = Image.fromarray(draw(seed, label + column * classes))
            hand = hand.resize((size, size), Image.Resampling.BICUBIC)
            picture.paste(hand, (margin + column * (size + gap), top))
    return picture


def _background(rng: np.random.Generator, cover: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Returns a wall with stains, now and then things on it, and the shadow of the hand."""
    wall = rng.uniform(0.25, 0.95) + rng.uniform(-0.12, 0.12, 3)
    stains = (
        wall + rng.normal(0, rng.uniform(0.01, 0.08), (4, 4, 1)) + rng.normal(0, 0.015, (4, 4, 3))
    )
    small = Image.fromarray((stains.clip(0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.35:
        small = small.resize((32, 32), Image.Resampling.BICUBIC)
        pen = ImageDraw.Draw(small)
        for _ in range(rng.integers(1, 4)):
            (x, y), (width, height) = (
                rng.integers(-8, 32, 2).tolist(),
                rng.integers(4, 24, 2).tolist(),
            )
            color = tuple((rng.uniform(0.15, 0.95, 3) * 255).astype(int).tolist())
            pen.rectangle((x, y, x + width, y + height), color)
        small = small.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3)))
    side = (IMAGE_SIZE, IMAGE_SIZE)
    picture = np.asarray(small.resize(side, Image.Resampling.BICUBIC), np.float32)

    distance = rng.uniform(2, 7)
    dx, dy = (-light[:2] / light[2] * distance).tolist()
    shape = Image.fromarray((cover * 255).astype(np.uint8))
    soft = shape.filter(ImageFilter.GaussianBlur(rng.uniform(0.7, 2.0)))
    where = (-dx / 2, -dy / 2, (IMAGE_SIZE - dx) / 2, (IMAGE_SIZE - dy) / 2)
    moved = soft.transform(side, Image.Transform.EXTENT, where, Image.Resampling.BILINEAR)
    shadow = np.asarray(moved, np.float32) * np.float32(rng.uniform(0.1, 0.5) / 255)
    return picture * ((1 - shadow) / 255)[..., None]


def _photograph(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Takes the picture: exposure, white balance, noise; uint8 [64, 64, 3]."""
    exposure = rng.uniform(0.75, 1.15) * rng.uniform(0.95, 1.05, 3) * 255
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(1, 5))
    return (picture * exposure.astype(np.float32) + noise + 0.5).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    montage().quantize(256).save(Path(sys.argv[1]), optimize=True)
