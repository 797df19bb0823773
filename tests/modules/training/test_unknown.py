"""Pictures that show no class: of the right form, repeatable, and like no image."""

import numpy as np
import pytest

from drawing import NO_SIGN, draw
from modules.training import unknown
from modules.training.unknown import no_signs, unknown_pictures


def images(count: int, side: int = 16) -> np.ndarray:
    """Of class 0 red, of class 1 green; each with a pattern of its own."""
    pixels = np.random.default_rng(1).uniform(0, 0.5, (count, side, side, 3))
    pixels[np.arange(count), :, :, np.arange(count) % 2] += 0.5
    return pixels.astype(np.float32)


@pytest.mark.parametrize("side", [8, 16, 21])
@pytest.mark.parametrize("count", [0, 1, 13])
def test_as_many_pictures_as_images(count, side):
    given = images(count, side)
    before = given.copy()
    pictures = unknown_pictures(given, np.arange(count) % 2, seed=5)
    assert (pictures.shape, pictures.dtype) == (given.shape, np.float32)
    assert ((pictures >= 0) & (pictures <= 1)).all()
    assert all(not np.array_equal(one, other) for one in pictures for other in given)
    np.testing.assert_array_equal(given, before)


def test_the_seed_decides():
    given, labels = images(12), np.arange(12) % 2
    first, same, other = (unknown_pictures(given, labels, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_every_kind_is_there_as_often(monkeypatch):
    count = len(unknown._KINDS)
    assert count == 6
    kinds = [lambda image, other, rng, kind=kind: kind / 10 for kind in range(count)]
    monkeypatch.setattr(unknown, "_KINDS", kinds)
    pictures = unknown_pictures(images(2 * count), np.arange(2 * count) % 2, seed=0)
    made = np.rint(pictures.mean(axis=(1, 2, 3)) * 10)
    assert sorted(made) == sorted([*range(count)] * 2)


def test_shuffled_cells_are_those_of_the_image():
    (image,) = images(1)
    picture = unknown._shuffled(image, image, np.random.default_rng(0))

    def cells(pixels: np.ndarray) -> set[bytes]:
        return {
            pixels[row : row + 4, column : column + 4].tobytes()
            for row in range(0, 16, 4)
            for column in range(0, 16, 4)
        }

    assert cells(picture) == cells(image)
    assert not np.array_equal(picture, image)


def test_a_blend_is_of_two_classes(monkeypatch):
    monkeypatch.setattr(unknown, "_KINDS", [unknown._blend])
    given = images(10)
    for picture in unknown_pictures(given, np.arange(10) % 2, seed=0):
        red, green, blue = picture.mean(axis=(0, 1))
        # Of one class alone, one of the two would be 0.5 brighter than blue, and the other as dark.
        assert min(red, green) > blue + 0.15


def test_no_signs_are_drawings_that_no_training_has():
    drawn = no_signs(3, 32, seed=4)
    assert (drawn.shape, drawn.dtype) == ((3, 32, 32, 4), np.uint8)
    np.testing.assert_array_equal(drawn[1], draw(-5, 1, NO_SIGN, 32))
    assert (no_signs(3, 32, seed=5) != drawn).any()
    assert no_signs(0, 32, seed=4).shape == (0, 32, 32, 4)
