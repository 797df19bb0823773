"""Copies of test images as cameras, rooms and messengers spoil them, to be judged by.

test Samples -> serialized tf.train.Examples with the feature `corruption`

What is drawn at random is drawn from the image's id: the same copies in each run, on any machine.
"""

import hashlib
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, UnidentifiedImageError

from data.sample import Sample, read_samples
from modules.evaluation import CORRUPTION
from signs import protos

# Spans are shuffled, so that the first are as good as any. So many prove 0.5 where 69 % are right.
# Their copies take a ResNet50 1.5 seconds of a slow core, and TFMA twice as long.
MOST = 32
# What a network of 224 pixels sees of noise and blur would be less in a larger picture.
_LARGEST = 256


def copies(test: Path, most: int = MOST) -> Iterator[bytes]:
    """Yields a copy for each corruption of the first images.

    Args:
        test: folder of gzipped TFRecord files of tf.train.Examples.
        most: so many images.

    Yields:
        Serialized tf.train.Examples; an image that Pillow cannot read is left out.
    """
    for sample in itertools.islice(read_samples(test), most):
        try:
            with Image.open(io.BytesIO(sample.image)) as image:
                picture = image.convert("RGB")
        except (OSError, UnidentifiedImageError):
            continue  # the model's own decoder says what is wrong with it
        picture.thumbnail((_LARGEST, _LARGEST))
        for name, corrupt in CORRUPTIONS.items():
            seed = hashlib.sha256(f"{name} {sample.source_id}".encode()).digest()
            spoilt = corrupt(picture, np.random.default_rng(int.from_bytes(seed[:8])))
            yield _example(sample, spoilt, name)


def are_there(test: Path) -> bool:
    """Whether there is a single copy to be made."""
    return next(copies(test, 1), None) is not None


def _brightness(picture: Image.Image, random: np.random.Generator) -> bytes:
    """Half as bright again, or two thirds: the next room."""
    return _png(ImageEnhance.Brightness(picture).enhance(random.choice([1 / 1.5, 1.5])))


def _blur(picture: Image.Image, random: np.random.Generator) -> bytes:
    """Out of focus by 1.5 % of the shorter side."""
    return _png(picture.filter(ImageFilter.GaussianBlur(0.015 * min(picture.size))))


def _jpeg(picture: Image.Image, random: np.random.Generator) -> bytes:
    """Compressed as strongly as a messenger does."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=25)
    return file.getvalue()


def _rotation(picture: Image.Image, random: np.random.Generator) -> bytes:
    """Held askew by 15 degrees, to either side; the corners get the border's mean colour."""
    pixels = np.asarray(picture)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in border.mean(axis=0))
    angle = float(random.choice([-15, 15]))
    turned = picture.rotate(angle, Image.Resampling.BILINEAR, fillcolor=(red, green, blue))
    return _png(turned)


def _noise(picture: Image.Image, random: np.random.Generator) -> bytes:
    """The grain of a dark room: a standard deviation of 5 % of white."""
    pixels = np.asarray(picture, np.float32)
    noisy = pixels + random.normal(0, 0.05 * 255, pixels.shape)
    return _png(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))


def _occlusion(picture: Image.Image, random: np.random.Generator) -> bytes:
    """A grey square of a fifth of the shorter side, anywhere."""
    side = max(1, min(picture.size) // 5)
    left, top = (int(random.integers(0, size - side + 1)) for size in picture.size)
    spoilt = picture.copy()
    spoilt.paste((128, 128, 128), (left, top, left + side, top + side))
    return _png(spoilt)


CORRUPTIONS = {
    "brightness": _brightness,
    "blur": _blur,
    "jpeg": _jpeg,
    "rotation": _rotation,
    "noise": _noise,
    "occlusion": _occlusion,
}


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _example(sample: Sample, image: bytes, corruption: str) -> bytes:
    copy = Sample(image, sample.label, sample.class_name, sample.source_id, sample.split)
    example = protos.Example.FromString(copy.serialize())
    example.features.feature[CORRUPTION].bytes_list.value.append(corruption.encode())
    return example.SerializeToString(deterministic=True)
