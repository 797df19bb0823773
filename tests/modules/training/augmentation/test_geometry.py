"""The coordinate image tells where each pixel of a result came from: red is x, green is y."""

import numpy as np
import pytest

from tests.modules.training.augmentation.changes import COUNT, changed, noise

SIDE = 33
CENTRE = 16


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


def test_mirror_swaps_left_and_right_of_half_of_the_images():
    images = noise(COUNT)
    result = changed(images, mirror=True)
    kept = np.abs(result - images).max(axis=(1, 2, 3)) < 1e-3
    swapped = np.abs(result - images[:, :, ::-1]).max(axis=(1, 2, 3)) < 1e-3
    assert (kept ^ swapped).all()
    assert COUNT / 4 < swapped.sum() < COUNT * 3 / 4


def test_rotation_keeps_lengths_and_the_centre():
    result = changed(coordinates(), rotation_degrees=30)
    np.testing.assert_allclose(source(result, CENTRE, CENTRE), 0, atol=0.01)
    right = source(result, CENTRE + 8, CENTRE)
    np.testing.assert_allclose(np.linalg.norm(right, axis=1), 8, atol=0.01)
    assert_spread(np.degrees(np.arctan2(right[:, 1], right[:, 0])), -30, 30)
    # A quarter turn apart still: a rotation, not a shear.
    down = source(result, CENTRE, CENTRE + 8)
    np.testing.assert_allclose((right * down).sum(axis=1), 0, atol=0.1)


def test_some_are_turned_by_up_to_a_quarter():
    right = source(changed(coordinates(), any_rotation=0.5), CENTRE + 8, CENTRE)
    degrees = np.degrees(np.arctan2(right[:, 1], right[:, 0]))
    assert_spread(degrees, -90, 90)
    assert 0.3 < np.mean(np.abs(degrees) < 0.1) < 0.7


def test_scale_zooms_both_axes_alike_about_the_centre():
    result = changed(coordinates(), scale=0.25)
    np.testing.assert_allclose(source(result, CENTRE, CENTRE), 0, atol=0.01)
    right, down = source(result, CENTRE + 8, CENTRE), source(result, CENTRE, CENTRE + 8)
    assert_spread(np.log(right[:, 0] / 8), -np.log(1.25), np.log(1.25))
    np.testing.assert_allclose(down[:, 1], right[:, 0], atol=0.01)
    np.testing.assert_allclose([right[:, 1], down[:, 0]], 0, atol=0.01)


def test_aspect_stretches_one_axis_as_it_shrinks_the_other():
    result = changed(coordinates(), aspect=0.4)
    right, down = source(result, CENTRE + 8, CENTRE), source(result, CENTRE, CENTRE + 8)
    assert_spread(np.log(right[:, 0] / down[:, 1]), -0.4, 0.4)
    np.testing.assert_allclose(right[:, 0] * down[:, 1], 64, rtol=5e-3)


def test_slant_moves_what_is_below_to_the_side():
    result = changed(coordinates(), slant=0.3)
    down = source(result, CENTRE, CENTRE + 10)
    assert_spread(down[:, 0] / 10, -0.3, 0.3)
    np.testing.assert_allclose(down[:, 1], 10, atol=0.01)
    np.testing.assert_allclose(source(result, CENTRE + 10, CENTRE), [[10, 0]] * COUNT, atol=0.01)


def test_tilt_makes_one_half_larger_than_the_other():
    result = changed(coordinates(), tilt=0.3)
    np.testing.assert_allclose(source(result, CENTRE, CENTRE), 0, atol=0.01)
    left, right = source(result, CENTRE - 8, CENTRE)[:, 0], source(result, CENTRE + 8, CENTRE)[:, 0]
    # A point x from the centre comes from x / (1 + tilt * x / side).
    tilt = (8 / right - 8 / -left) / 2 * SIDE / 8
    assert_spread(tilt.round(2), -0.3, 0.3)


def test_shift_moves_each_axis_by_a_fraction_of_the_side():
    result = changed(coordinates(), shift=0.1)
    moved = source(result, CENTRE, CENTRE)
    assert_spread(moved[:, 0], -0.1 * SIDE, 0.1 * SIDE)
    assert_spread(moved[:, 1], -0.1 * SIDE, 0.1 * SIDE)
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.5
    np.testing.assert_allclose(
        source(result, CENTRE + 8, CENTRE) - moved, [[8, 0]] * COUNT, atol=0.01
    )


def test_beyond_an_edge_the_edge_goes_on():
    rows = np.zeros((COUNT, 16, 16, 3), np.float32)
    rows[:, -4:] = 1  # as an arm that leaves the picture below
    result = changed(rows, shift=0.5)
    below = result[np.flatnonzero(result[:, 8, 8, 0] == 1)]
    assert len(below) > 3
    np.testing.assert_allclose(below[:, 8:], 1, atol=1e-3)


@pytest.mark.parametrize("size", [11, 33, 66])
def test_resizing_keeps_the_centre_and_the_whole_image(size):
    result = np.asarray(changed(coordinates()[:1], size))
    assert result.shape == (1, size, size, 3)
    # A pixel's middle: x of the result lies at (x + 1/2) * SIDE / size - 1/2 of the image.
    expected = (np.arange(size) + 0.5) * SIDE / size - 0.5
    inner = (expected >= 0) & (expected <= SIDE - 1)
    x = result[0, size // 2, :, 0] * (SIDE - 1)
    np.testing.assert_allclose(x[inner], expected[inner], atol=0.01)
    y = result[0, :, size // 2, 1] * (SIDE - 1)
    np.testing.assert_allclose(y[inner], expected[inner], atol=0.01)
