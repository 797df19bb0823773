"""Pictures for a page: samples of a data set, thumbnails, mosaics, as JPEGs in data URIs.

Samples of a split -> Sampled (some of each class, and those that are asked for) -> JPEG
"""

import base64
import io
import itertools
import math
import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from components.run_page.facts import Mosaic, Shown
from data.sample import Sample

_MOST_READ = 20_000  # images of a split: they lie in random order
_MOST_IN_MOSAICS = 1500  # images, of all classes and splits: of 100 classes 1.5 MB
_TILE, _THUMBNAIL = 40, 96  # pixels a side, at most
_COLUMNS = 10
_QUALITY = 80


@dataclass
class Sampled:
    """Some images of a split.

    Attributes:
        counts: Images by class, of those that were read.
        by_class: A random few of each class.
        wanted: Those that were asked for, by source id.
    """

    counts: Counter[str] = field(default_factory=Counter)
    by_class: dict[str, list[Sample]] = field(default_factory=dict)
    wanted: dict[str, Sample] = field(default_factory=dict)


def sample(samples: Iterable[Sample], wanted: Collection[str], of_each_class: int) -> Sampled:
    """Reads a split once and keeps few of its images: the same ones each time."""
    found, draw = Sampled(), random.Random(0)
    for one in itertools.islice(samples, _MOST_READ):
        found.counts[one.class_name] += 1
        kept = found.by_class.setdefault(one.class_name, [])
        if len(kept) < of_each_class:
            kept.append(one)
        elif (place := draw.randrange(found.counts[one.class_name])) < of_each_class:
            kept[place] = one
        if one.source_id in wanted:
            found.wanted[one.source_id] = one
    return found


def of_each_class(classes: int, splits: int) -> int:
    """How many images of a class and split a page can show."""
    return max(2, min(2 * _COLUMNS, _MOST_IN_MOSAICS // max(1, classes * splits)))


def mosaic(split: str, class_name: str, images: int, samples: Sequence[Sample]) -> Mosaic:
    """Images of a class beside each other, each as a square."""
    columns = min(_COLUMNS, len(samples))
    rows = math.ceil(len(samples) / columns)
    whole = Image.new("RGB", (columns * _TILE, rows * _TILE), (160, 160, 168))
    for place, one in enumerate(samples):
        row, column = divmod(place, columns)
        whole.paste(_opened(one.image, _TILE, square=True), (column * _TILE, row * _TILE))
    return Mosaic(split, class_name, images, len(samples), data_uri(whole), *whole.size)


def shown(one: Sample) -> Shown:
    """One image, made small."""
    return Shown(one.source_id, one.split, one.class_name, thumbnail(one.image))


def thumbnail(image: bytes) -> str:
    """An encoded image made small, as a data URI."""
    return data_uri(_opened(image, _THUMBNAIL))


def heated(image: bytes, heat: np.ndarray) -> str:
    """An encoded image with its heat over it, as a data URI.

    Args:
        image: JPEG or PNG.
        heat: float [height, width] in [0, 1], of any size.
    """
    picture = _opened(image, _THUMBNAIL).convert("L").convert("RGB")
    scaled = Image.fromarray((255 * heat).astype(np.uint8))
    scaled = scaled.resize(picture.size, Image.Resampling.BICUBIC)
    level = np.asarray(scaled, float)[..., np.newaxis] / 255
    # From nothing over orange to yellow: bright is much, to the colour-blind as well.
    glow = np.concatenate([np.full_like(level, 255), 90 + 150 * level, 20 + 0 * level], axis=-1)
    mixed = np.asarray(picture, float) * (1 - 0.75 * level) + glow * 0.75 * level
    return data_uri(Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8)))


def data_uri(picture: Image.Image) -> str:
    """A picture as a JPEG in a data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _opened(image: bytes, side: int, *, square: bool = False) -> Image.Image:
    """An image of at most `side` pixels a side; `square` cuts its middle out."""
    with Image.open(io.BytesIO(image)) as opened:
        opened.draft("RGB", (2 * side, 2 * side))  # a JPEG is not decoded larger than it must be
        picture = opened.convert("RGB")
    if square:
        edge = min(picture.size)
        left, top = ((length - edge) // 2 for length in picture.size)
        picture = picture.crop((left, top, left + edge, top + edge))
        return picture.resize((side, side), Image.Resampling.LANCZOS)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture
