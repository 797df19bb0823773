"""The coordinate image tells where each pixel of a result came from: red is x, green is y."""

import numpy as np
import pytest
import tensorflow as tf

from modules.training.augmentation import augment
from modules.training.recipe import Augmentation

OFF = Augmentation(0, 0, 0, False, 0, 0)
SIDE = 33
CENTRE = 16
COUNT = 64


def noise(count: int = 4, side: int = 16, high: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, high, (count, side, side, 3)).astype(np.float32)


def changed(images: np.ndarray, size: int | None = None, seed: int = 7, **ranges) -> np.ndarray:
    """`images` with these changes alone."""
    config = Augmentation(**{**vars(OFF), **ranges})
    size = images.shape[1] if size is None else size
    return augment(images, config, size=tf.constant(size), seed=tf.constant([seed, 1])).numpy()


def coordinates() -> np.ndarray:
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    image = np.stack([x, y, 0 * x], axis=-1).astype(np.float32) / (SIDE - 1)
    return np.stack([image] * COUNT)


def source(images: np.ndarray, x: int, y: int) -> np.ndarray:
    """Where, as (x, y) from the centre, pixel (x, y) of each result was read: [count, 2]."""
    return images[:, y, x, :2] * (SIDE - 1) - CENTRE


def assert_spread(values: np.ndarray, low: float, high: float) -> None:
    """All within the range, and most of the range is used."""
    assert low - 1e-4 <= values.min() < low + (high - low) / 8
    assert high + 1e-4 >= values.max() > high - (high - low) / 8


@pytest.mark.parametrize("side", [16, 17])
def test_nothing_switched_on_changes_nothing(side):
    images = noise(side=side)
    np.testing.assert_allclose(changed(images), images, atol=1e-5)


def test_mirror_swaps_left_and_right_of_half_of_the_images():
    images = noise(COUNT)
    result = changed(images, mirror=True)
    kept = np.abs(result - images).max(axis=(1, 2, 3)) < 1e-5
    swapped = np.abs(result - images[:, :, ::-1]).max(axis=(1, 2, 3)) < 1e-5
    assert (kept ^ swapped).all()
    assert COUNT / 4 < swapped.sum() < COUNT * 3 / 4


def test_rotation_keeps_lengths_and_the_centre():
    result = changed(coordinates(), rotation_degrees=30)
    np.testing.assert_allclose(source(result, CENTRE, CENTRE), 0, atol=1e-3)
    right = source(result, CENTRE + 8, CENTRE)
    np.testing.assert_allclose(np.linalg.norm(right, axis=1), 8, atol=1e-3)
    assert_spread(np.degrees(np.arctan2(right[:, 1], right[:, 0])), -30, 30)
    # A quarter turn apart still: a rotation, not a shear.
    down = source(result, CENTRE, CENTRE + 8)
    np.testing.assert_allclose((right * down).sum(axis=1), 0, atol=0.01)


def test_scale_zooms_both_axes_alike_about_the_centre():
    result = changed(coordinates(), scale=0.2)
    np.testing.assert_allclose(source(result, CENTRE, CENTRE), 0, atol=1e-3)
    right, down = source(result, CENTRE + 8, CENTRE), source(result, CENTRE, CENTRE + 8)
    assert_spread(right[:, 0] / 8, 0.8, 1.2)
    np.testing.assert_allclose(down[:, 1], right[:, 0], atol=1e-3)
    np.testing.assert_allclose([right[:, 1], down[:, 0]], 0, atol=1e-3)


def test_shift_moves_each_axis_by_a_fraction_of_the_side():
    result = changed(coordinates(), shift=0.1)
    moved = source(result, CENTRE, CENTRE)
    assert_spread(moved[:, 0], -0.1 * SIDE, 0.1 * SIDE)
    assert_spread(moved[:, 1], -0.1 * SIDE, 0.1 * SIDE)
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.5
    np.testing.assert_allclose(
        source(result, CENTRE + 8, CENTRE) - moved, [[8, 0]] * COUNT, atol=1e-3
    )


def test_brightness_is_a_factor():
    images = noise(COUNT, high=0.7)
    factors = changed(images, brightness=0.3) / images
    np.testing.assert_allclose(factors, factors[:, :1, :1, :1] + 0 * factors, rtol=1e-3)
    assert_spread(factors[:, 0, 0, 0], 0.7, 1.3)


def test_contrast_is_a_factor_about_the_mean():
    images = 0.3 + noise(COUNT, high=0.4)
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    result = changed(images, contrast=0.3)
    np.testing.assert_allclose(result.mean(axis=(1, 2, 3), keepdims=True), mean, atol=1e-5)
    assert_spread(result.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3)), 0.7, 1.3)


def test_beyond_an_edge_lies_the_reflection():
    white = np.ones((COUNT, 16, 16, 3), np.float32)
    result = changed(white, rotation_degrees=180, scale=0.9, shift=0.9)
    np.testing.assert_allclose(result, 1, atol=1e-5)


@pytest.mark.parametrize("size", [8, 16, 24, 40])
def test_results_have_the_size_and_stay_in_range(size):
    result = changed(
        noise(),
        size,
        rotation_degrees=180,
        scale=0.95,
        shift=0.95,
        mirror=True,
        brightness=0.95,
        contrast=0.95,
    )
    assert result.shape == (4, size, size, 3)
    assert result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1


@pytest.mark.parametrize("size", [11, 33, 66])
def test_resizing_keeps_the_centre_and_the_whole_image(size):
    result = np.asarray(changed(coordinates()[:1], size))
    assert result.shape == (1, size, size, 3)
    # A pixel's middle: x of the result lies at (x + 1/2) * SIDE / size - 1/2 of the image.
    expected = (np.arange(size) + 0.5) * SIDE / size - 0.5
    inner = (expected >= 0) & (expected <= SIDE - 1)
    x = result[0, size // 2, :, 0] * (SIDE - 1)
    np.testing.assert_allclose(x[inner], expected[inner], atol=1e-3)
    y = result[0, :, size // 2, 1] * (SIDE - 1)
    np.testing.assert_allclose(y[inner], expected[inner], atol=1e-3)


def test_the_seed_decides():
    ranges = {"rotation_degrees": 20, "mirror": True, "brightness": 0.3}
    first = changed(noise(), seed=1, **ranges)
    np.testing.assert_array_equal(changed(noise(), seed=1, **ranges), first)
    other = changed(noise(), seed=2, **ranges)
    assert (np.abs(other - first).max(axis=(1, 2, 3)) > 0.01).all()


def test_images_of_a_batch_are_changed_differently():
    same = np.repeat(noise(1), 8, axis=0)
    result = changed(same, rotation_degrees=20)
    distances = np.abs(result[:, None] - result[None]).max(axis=(2, 3, 4))
    assert (distances + np.eye(8) > 0.01).all()


def test_inside_a_dataset_it_does_what_it_does_eagerly():
    images, config = noise(8), Augmentation()
    dataset = tf.data.Dataset.range(2).map(
        lambda step: augment(
            tf.constant(images),
            config,
            size=tf.constant([12, 20])[step],
            seed=tf.stack([3, tf.cast(step, tf.int32)]),
        )
    )
    for step, (size, result) in enumerate(zip([12, 20], dataset.as_numpy_iterator(), strict=True)):
        eager = augment(images, config, size=tf.constant(size), seed=tf.constant([3, step]))
        np.testing.assert_allclose(result, eager, atol=1e-5)
