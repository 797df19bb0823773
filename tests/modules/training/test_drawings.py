from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from drawing import draw
from modules.machines.workers import ALONE, Workers
from modules.training.drawings import MOST, Drawings, beside, drawings, drawings_in_step
from modules.training.recipe import Recipe

SIX = ("0", "1", "2", "3", "4", "5")


def drawn_for(count: int, names: tuple[str, ...] = SIX, size: int = 32, **recipe: Any) -> Drawings:
    drawn = drawings(Recipe(**recipe), names, size, in_step=count, steps=1)
    assert drawn is not None
    return drawn


def test_labels_are_the_data_set_s():
    drawn = drawn_for(12, ("5", "4", "3", "2", "1", "0"), 64, drawn_no_sign=0)
    assert drawn.pixels.shape == (12, 64, 64, 4)
    assert drawn.pixels.dtype == np.uint8
    assert drawn.labels.tolist() == [5, 4, 3, 2, 1, 0] * 2
    np.testing.assert_array_equal(drawn.pixels[1], draw(0, 1, 1))


def test_a_share_of_them_shows_no_sign():
    labels = drawn_for(200, size=16, drawn_no_sign=0.25).labels
    assert 30 < (labels == 6).sum() < 70
    assert set(labels.tolist()) == set(range(7))


@pytest.mark.parametrize(
    ("names", "drawn", "count"),
    [
        (SIX, 1.0, 8),
        (SIX[::-1], 1.0, 8),
        (SIX, 0.5, 4),
        (SIX, 3.0, 24),
        (SIX, 0.0, 0),
        (SIX, 0.01, 0),
        (SIX[:5], 1.0, 0),
        ((*SIX, "6"), 1.0, 0),
        (("0", "1", "2", "3", "4", "no"), 1.0, 0),
        (("cat", "dog"), 1.0, 0),
    ],
)
def test_a_step_has_drawings_where_the_classes_are_signs(names, drawn, count):
    assert drawings_in_step(Recipe(drawn=drawn), names, 8) == count


def test_none_in_a_step_are_none_at_all():
    assert drawings(Recipe(), SIX, 64, in_step=0, steps=9) is None


def test_time_and_memory_bound_them(monkeypatch):
    monkeypatch.setattr("modules.training.drawings.draw", lambda *_: np.zeros((1, 1, 4), np.uint8))
    assert len(drawn_for(7, size=64).labels) == 7
    assert len(drawn_for(10**9, size=64).labels) == MOST
    assert len(drawn_for(10**9, size=512).labels) == 256


def test_the_seed_decides_what_is_drawn():
    first, again, other = (drawn_for(6, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert (first.pixels != other.pixels).any()


def images(count: int, steps: int = 3) -> tf.data.Dataset:
    """Batches of black images of class 9."""
    return tf.data.Dataset.range(steps).map(
        lambda step: (
            tf.zeros([count, 4, 4, 4], tf.uint8),
            tf.fill([count], tf.constant(9, tf.int64)),
            tf.fill([count], step),
        )
    )


def numbered(count: int, in_step: int) -> Drawings:
    """Drawings whose label is their number, and so is each of their pixels."""
    numbers = np.arange(count)
    pixels = np.broadcast_to(numbers[:, None, None, None], (count, 4, 4, 4)).astype(np.uint8)
    return Drawings(pixels, numbers + 100, in_step)


def joined(count: int, in_step: int, workers: Workers = ALONE, seed: int = 1) -> list[tuple]:
    function = beside(lambda _: images(count), count, numbered(50, in_step), seed, workers)
    return list(function(0).as_numpy_iterator())


@pytest.mark.parametrize(("count", "in_step"), [(4, 4), (6, 3), (2, 6)])
def test_drawings_and_images_take_turns(count, in_step):
    for number, (pixels, labels, step) in enumerate(joined(count, in_step)):
        assert pixels.shape == (count + in_step, 4, 4, 4)
        assert (step == number).all()
        is_drawn = labels >= 100
        assert is_drawn.sum() == in_step
        np.testing.assert_array_equal(pixels[is_drawn, 0, 0, 0], labels[is_drawn] - 100)
        # Each half of a batch, as each of two GPUs has it, has half of them.
        half = len(labels) // 2
        assert abs(int(is_drawn[:half].sum()) - int(is_drawn[half:].sum())) <= 1


def test_step_and_seed_decide_which():
    first, again, other = (
        [labels.tolist() for _, labels, _ in joined(2, 6, seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert len({tuple(labels) for labels in first}) == 3


def test_workers_have_what_one_alone_would_have():
    alone = [sorted(labels[labels >= 100]) for _, labels, _ in joined(4, 6)]
    parts = [
        [
            labels[labels >= 100].tolist()
            for _, labels, _ in joined(2, 3, Workers(("a", "b"), index))
        ]
        for index in range(2)
    ]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == alone
