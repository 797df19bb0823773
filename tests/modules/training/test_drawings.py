import numpy as np
import pytest

from drawing import draw
from modules.training.drawings import MOST, drawings
from modules.training.recipe import Recipe

SIX = ("0", "1", "2", "3", "4", "5")


def test_labels_are_the_data_set_s():
    names = ("5", "4", "3", "2", "1", "0")
    drawn = drawings(Recipe(drawn_no_sign=0), names, 64, 12)
    assert drawn is not None
    assert drawn.pixels.shape == (12, 64, 64, 4)
    assert drawn.pixels.dtype == np.uint8
    assert drawn.labels.tolist() == [5, 4, 3, 2, 1, 0] * 2
    np.testing.assert_array_equal(drawn.pixels[1], draw(0, 1, 1))


def test_a_share_of_them_shows_no_sign():
    drawn = drawings(Recipe(drawn_no_sign=0.25), SIX, 16, 200)
    assert drawn is not None
    assert 30 < (drawn.labels == 6).sum() < 70
    assert set(drawn.labels.tolist()) == set(range(7))


@pytest.mark.parametrize(
    "names", [("0", "1", "2", "3", "4"), (*SIX, "6"), ("a", "b"), ("0", "1", "2", "3", "4", "no")]
)
def test_other_classes_have_none(names):
    assert drawings(Recipe(), names, 64, 100) is None


@pytest.mark.parametrize(
    ("drawn", "images", "size", "count"),
    [(0, 100, 64, None), (1, 7, 64, 7), (0.5, 10, 64, 5), (2, 5, 64, 10), (0.01, 10, 64, None)],
)
def test_as_many_are_drawn_as_are_shown(drawn, images, size, count):
    found = drawings(Recipe(drawn=drawn), SIX, size, images)
    assert (found and len(found.pixels)) == count


def test_memory_and_time_bound_them(monkeypatch):
    monkeypatch.setattr("modules.training.drawings.draw", lambda *_: np.zeros((1, 1, 4), np.uint8))
    assert len(drawings(Recipe(), SIX, 64, 10**9).pixels) == MOST
    assert len(drawings(Recipe(), SIX, 512, 10**9).pixels) == 256


def test_the_seed_decides():
    first, again = (drawings(Recipe(seed=3), SIX, 32, 6) for _ in range(2))
    other = drawings(Recipe(seed=4), SIX, 32, 6)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert (first.pixels != other.pixels).any()
