import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from modules.preprocessing import prepare_images, preprocessing_fn, stored_image
from signs import features

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def encoded(picture: np.ndarray | Image.Image, format: str = "PNG", mode: str = "RGB") -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, format)
    return buffer.getvalue()


def prepared(*images: bytes, size: int = 16) -> np.ndarray:
    return prepare_images(tf.constant(images, tf.string), size).numpy()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP"])
@pytest.mark.parametrize("shape", [(16, 16), (1, 1), (7, 40), (300, 200)])
def test_any_picture_becomes_a_square_in_range(shape, format, mode):
    found = prepared(encoded(noise(*shape), format, mode))
    assert found.shape == (1, 16, 16, 3)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1


def test_a_batch_may_mix_sizes_and_formats():
    images = [
        encoded(noise(16, 16)),
        encoded(noise(30, 20), "JPEG"),
        encoded(noise(8, 8), mode="L"),
    ]
    found = prepared(*images)
    assert found.shape == (3, 16, 16, 3)
    for one, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(one, prepared(image)[0])


def test_an_empty_batch_is_an_empty_batch():
    assert prepared().shape == (0, 16, 16, 3)


def test_a_png_of_the_size_comes_through_to_the_bit():
    pixels = noise(16, 16)
    found = prepared(encoded(pixels))[0]
    np.testing.assert_array_equal(found, pixels.astype(np.float32) * np.float32(1 / 255))


def test_every_byte_keeps_its_value():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = prepared(encoded(np.stack([ramp] * 3, axis=-1)))[0]
    np.testing.assert_array_equal(np.rint(found[..., 0] * 255), ramp)
    assert (found.min(), found.max()) == (0, 1)


def test_a_jpeg_decodes_exactly_as_pillow_decodes_it():
    raw = encoded(noise(16, 16), "JPEG")
    expected = np.asarray(Image.open(io.BytesIO(raw)), np.float32) * np.float32(1 / 255)
    np.testing.assert_array_equal(prepared(raw)[0], expected)
    # TensorFlow's default does not, and it is what `decode_image` takes.
    quick = tf.io.decode_image(raw, channels=3, expand_animations=False).numpy()
    assert (np.rint(expected * 255) != quick).any()


def test_grey_becomes_three_equal_channels():
    found = prepared(encoded(noise(16, 16), mode="L"))[0]
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    np.testing.assert_array_equal(found[..., 0], found[..., 2])
    assert found.std() > 0.1


def test_of_several_frames_the_first_counts():
    frames = [Image.new("RGB", (16, 16), color) for color in (RED, BLUE)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(prepared(buffer.getvalue())[0], np.full((16, 16, 3), [1, 0, 0]))


@pytest.mark.parametrize("lengths", [(8, 16, 8), (8, 16, 9), (0, 16, 1), (16, 32, 16)])
@pytest.mark.parametrize("upright", [False, True])
def test_the_middle_square_is_taken(lengths, upright):
    row = np.concatenate(
        [np.tile(color, (n, 1)) for n, color in zip(lengths, (RED, GREEN, BLUE), strict=True)]
    )
    picture = np.stack([row] * lengths[1]).astype(np.uint8)
    if upright:
        picture = picture.transpose(1, 0, 2)
    np.testing.assert_allclose(
        prepared(encoded(picture))[0], np.tile([0.0, 1.0, 0.0], (16, 16, 1)), atol=1e-5
    )


def test_a_smaller_picture_is_averaged_not_sampled():
    stripes = np.zeros((160, 160, 3), np.uint8)
    stripes[:, ::2] = 255
    np.testing.assert_allclose(prepared(encoded(stripes))[0, 4:-4, 4:-4], 0.5, atol=0.02)


@pytest.mark.parametrize(
    "raw", [b"", b"not an image", encoded(noise(16, 16))[:60], b"\x89PNG\r\n\x1a\n" + b"0" * 99]
)
def test_garbage_is_an_invalid_argument(raw):
    with pytest.raises(tf.errors.InvalidArgumentError):
        prepared(encoded(noise(16, 16)), raw)


def test_inside_a_dataset_it_does_what_it_does_eagerly():
    images = [encoded(noise(40, 20)), encoded(noise(16, 16)), encoded(noise(9, 9), "JPEG")]
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(3)
    (found,) = dataset.map(lambda batch: prepare_images(batch, 16)).as_numpy_iterator()
    np.testing.assert_array_equal(found, prepared(*images))


@pytest.mark.parametrize(
    ("config", "size"), [(None, 64), ({}, 64), ({"image_size": 24}, 24), ({"image_size": "24"}, 24)]
)
def test_preprocessing_fn_takes_the_size_from_the_configuration(config, size):
    images = [encoded(noise(16, 16)), encoded(noise(40, 30))]
    inputs = {
        features.IMAGE: tf.constant([[image] for image in images]),
        features.LABEL: tf.constant([[2], [0]], tf.int64),
        features.SPLIT: tf.constant([["train"], ["train"]]),
    }
    found = preprocessing_fn(inputs, config)
    assert set(found) == {"pixels", "label"}
    np.testing.assert_array_equal(found["pixels"], prepared(*images, size=size))
    assert found["label"].numpy().tolist() == [2, 0]
    assert found["label"].dtype == tf.int64


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("shape", [(16, 16), (7, 40), (9, 9), (30, 50)])
def test_what_is_trained_on_is_what_is_evaluated_and_served(shape, format):
    image = encoded(noise(*shape), format)
    stored = stored_image(tf.constant(image), 16)
    assert stored.dtype == tf.uint8
    # No farther than the nearest byte is, of which there may be two.
    np.testing.assert_allclose(stored, prepared(image)[0] * np.float32(255), atol=0.5001)


@pytest.mark.parametrize("side", [1, 7, 15])
def test_a_smaller_picture_becomes_what_it_becomes_with_antialiasing(side):
    pixels = noise(side, side)
    expected = tf.image.resize(pixels, [16, 16], antialias=True) / 255
    np.testing.assert_allclose(prepared(encoded(pixels))[0], expected, atol=1e-5)
