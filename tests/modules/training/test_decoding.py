"""Small JPEGs are decoded past TensorFlow's graph, and nobody can tell by the pixels."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from modules.preprocessing import stored_image
from modules.training import decoding
from modules.training.augmentation import matte

SIZE = 16
TURNED = Image.Exif()
TURNED[ExifTags.Base.Orientation] = 6


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


WALL = Image.new("RGB", (SIZE, SIZE), (180, 180, 180))
WALL.paste((150, 90, 60), (5, 5, 11, 11))

PICTURES = {
    "before a wall": encoded(WALL),
    "png before a wall": encoded(WALL, "PNG"),
    "full colour": encoded(noise(SIZE, SIZE), subsampling=0),
    "half colour": encoded(noise(SIZE, SIZE), subsampling=1),
    "quarter colour": encoded(noise(SIZE, SIZE), subsampling=2),
    "coarse": encoded(noise(SIZE, SIZE), quality=5),
    "progressive": encoded(noise(SIZE, SIZE), progressive=True),
    "grey": encoded(noise(SIZE, SIZE, "L")),
    "of colours in red, green, blue": encoded(noise(SIZE, SIZE), keep_rgb=True),
    "inks": encoded(noise(SIZE, SIZE, "CMYK")),
    "turned": encoded(
        noise(SIZE, SIZE),
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    ),
    "wide": encoded(noise(SIZE + 9, SIZE)),
    "narrow": encoded(noise(SIZE - 7, SIZE)),
    "larger": encoded(noise(50, 50)),
    "smaller": encoded(noise(7, 7)),
    "png": encoded(noise(SIZE, SIZE), "PNG"),
    "bmp": encoded(noise(SIZE, SIZE), "BMP"),
    "gif": encoded(noise(SIZE, SIZE), "GIF"),
}


def expected(name: str) -> np.ndarray:
    pixels = stored_image(tf.constant(PICTURES[name]), SIZE).numpy()
    return np.concatenate([pixels, matte(pixels[np.newaxis])[0]], axis=-1)


@pytest.mark.parametrize("name", PICTURES)
def test_pixels_are_those_of_the_graph(name):
    [found] = decoding.decoded(tf.constant([PICTURES[name]]), SIZE)
    np.testing.assert_array_equal(found, expected(name))


@pytest.mark.parametrize("name", ["before a wall", "png before a wall"])
def test_a_wall_is_not_covered(name):
    [found] = decoding.decoded(tf.constant([PICTURES[name]]), SIZE)
    assert found[0, 0, 3] == 0
    assert found[8, 8, 3] == 255


def test_a_batch_may_mix_them_and_keeps_their_order():
    names = [*PICTURES, *reversed(PICTURES)]
    dataset = tf.data.Dataset.from_tensor_slices([PICTURES[name] for name in names])
    [found] = dataset.batch(len(names)).map(lambda batch: decoding.decoded(batch, SIZE))
    assert found.dtype == tf.uint8
    assert found.shape == (len(names), SIZE, SIZE, 4)
    for one, name in zip(found, names, strict=True):
        np.testing.assert_array_equal(one, expected(name), name)


def test_jpegs_that_have_their_size_do_not_enter_the_graph(monkeypatch):
    def refuse(image, size):
        raise AssertionError("it was called")

    monkeypatch.setattr(decoding, "stored_image", refuse)
    small = [PICTURES[name] for name in ("full colour", "quarter colour", "grey", "progressive")]
    assert decoding.decoded(tf.constant(small), SIZE).shape == (4, SIZE, SIZE, 4)


@pytest.mark.parametrize(
    "raw",
    [b"", b"no image", PICTURES["png"][:60], PICTURES["half colour"][:300], b"\xff\xd8\xff" * 40],
)
def test_what_is_no_image_is_an_invalid_argument(raw):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoding.decoded(tf.constant([PICTURES["full colour"], raw]), SIZE)
