import numpy as np
import pytest
import tensorflow as tf

from drawing import draw
from modules.training.augmentation.background import matte, places
from tests.modules.training.augmentation.changes import COUNT, changed, noise

HAND = (190, 140, 110)
WALL = np.array((200, 198, 190))


def hand_before(wall: np.ndarray, hand: tuple[int, ...] = HAND) -> np.ndarray:
    """A block that stands on the lower edge, before a wall [3] or [32, 32, 3]."""
    image = np.broadcast_to(wall, (32, 32, 3)).astype(np.float32).copy()
    image[10:, 12:22] = hand
    return image


@pytest.mark.parametrize(
    "image",
    [
        hand_before(WALL),
        hand_before(WALL * np.linspace(0.5, 1, 32)[:, None, None]),  # light from one side
        hand_before(WALL * 0.3, (70, 45, 30)),  # in the dark
        hand_before(np.array((90, 60, 160)), (200, 180, 60)),  # any two colours
        hand_before(WALL) + np.random.default_rng(0).normal(0, 3, (32, 32, 3)),
    ],
)
def test_what_stands_before_a_plain_wall_is_found(image):
    cover = matte(image.clip(0, 255).astype(np.uint8)[None])
    assert cover.shape == (1, 32, 32, 1)
    assert cover.dtype == np.uint8
    assert cover[0, 12:, 14:20].min() > 200
    assert cover[0, :8].max() < 60
    assert cover[0, :, :10].max() < 60


@pytest.mark.parametrize(
    "image",
    [
        np.full((32, 32, 3), 200),  # nothing but wall
        np.random.default_rng(0).integers(0, 255, (32, 32, 3)),  # no wall
        np.zeros((32, 32, 3)),
    ],
)
def test_without_a_plain_wall_or_anything_before_it_all_is_covered(image):
    assert (matte(image.astype(np.uint8)[None]) == 255).all()


def test_it_finds_what_the_drawing_covers():
    drawn = np.stack([draw(0, index, index % 6) for index in range(60)])
    found, true = matte(drawn[..., :3])[..., 0] / 255.0, drawn[..., 3] / 255.0
    wrong = np.abs(found - true).mean((1, 2))
    assert np.median(wrong) < 0.03


def test_the_wall_changes_and_what_is_before_it_stays():
    images = np.full((COUNT, 32, 32, 3), 0.5, np.float32)
    images[:, 8:24, 8:24] = 0.2
    cover = np.zeros((COUNT, 32, 32, 1))
    cover[:, 8:24, 8:24] = 1
    result = changed(images, cover=cover, background=0.5)
    is_replaced = np.abs(result[:, 0, 0] - 0.5).max(-1) > 0.01
    assert COUNT / 4 < is_replaced.sum() < COUNT * 3 / 4
    np.testing.assert_allclose(result[~is_replaced], images[~is_replaced], atol=1e-3)
    inner, outer = result[is_replaced, 8:24, 8:24], result[is_replaced, :8]
    # Exposure alone changes what is before the wall.
    np.testing.assert_allclose(inner, inner[:, :1, :1, :1] + 0 * inner, atol=1e-3)
    assert 0.13 < inner.min() < inner.max() < 0.27
    walls = outer.mean((1, 2))
    assert walls.min() < 0.2
    assert walls.max() > 0.8


def test_an_image_that_is_covered_all_over_has_no_other_wall():
    images = noise(COUNT, high=0.7)
    result = changed(images, background=1.0)
    factor = result / np.maximum(images, 1e-3)
    bright = images > 0.1
    for one, mask in zip(factor, bright, strict=True):
        assert np.ptp(one[mask]) < 0.02


def test_places_reach_from_edge_to_edge():
    x, y = places(tf.constant(3))
    np.testing.assert_array_equal(x[0, 0, 0], [-1, 0, 1])
    np.testing.assert_array_equal(y[0, 0, :, 0], [-1, 0, 1])


@pytest.mark.parametrize("side", [64, 150])
def test_what_is_covered_does_not_hang_on_the_other_images(side):
    random = np.random.default_rng(0)
    images = np.full((37, side, side, 3), 180, np.uint8)
    for image in images:
        top, left = random.integers(8, side // 3, 2)
        image[top : top + side // 2, left : left + side // 2] = (150, *random.integers(0, 90, 2))
    together = matte(images)
    assert together.min() == 0
    assert together.max() == 255
    alone = np.concatenate([matte(image[np.newaxis]) for image in images])
    np.testing.assert_array_equal(together, alone)
