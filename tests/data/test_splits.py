"""Each class gives its share, identical pictures stay together, and more pictures move few."""

import hashlib
import random

import numpy as np
import pytest

from data.splits import Proportions, divide, place_of
from signs.features import SPLITS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), (0.8, 0.1, 0.1)),
        (("train",), (0.8, 0.1, 0.1)),
        (("train", "test"), (0.8, 0.2, 0.0)),
        (("train", "eval"), (0.8, 0.0, 0.2)),
        (("train", "eval", "test"), None),
        (("test",), None),
        (("eval", "test"), None),
    ],
)
def test_what_is_missing_is_taken_from_train(given, expected):
    proportions = Proportions.missing(given)
    found = proportions and (proportions.train, proportions.eval, proportions.test)
    assert found == expected


@pytest.mark.parametrize("parts", [(0.5, 0.1, 0.1), (1.2, -0.1, -0.1)])
def test_proportions_add_up_to_1(parts):
    with pytest.raises(ValueError, match="must be positive and add up to 1"):
        Proportions(*parts)


@pytest.mark.parametrize(
    ("given", "pictures", "in_eval", "in_test"),
    [
        ((), 0, 0, 0),
        ((), 1, 0, 0),
        ((), 2, 0, 1),
        ((), 3, 1, 1),
        ((), 14, 1, 1),
        ((), 15, 2, 2),
        ((), 1000, 100, 100),
        (("train", "test"), 1, 0, 0),
        (("train", "test"), 2, 1, 0),
        (("train", "test"), 12, 2, 0),
        (("train", "eval"), 2, 0, 1),
        (("train", "eval"), 180, 0, 36),
    ],
)
def test_quotas(given, pictures, in_eval, in_test):
    assert Proportions.missing(given).quotas(pictures) == (in_eval, in_test)


def contents(class_name: str, count: int) -> list[str]:
    return [hashlib.sha256(f"{class_name} {n}".encode()).hexdigest() for n in range(count)]


def division(images: list[tuple[str, int]], seed: int = 0) -> list[str]:
    """The split of each of some images, given by digest and label."""
    places = np.array([place_of(digest, seed) for digest, _ in images], np.uint64)
    labels = np.array([label for _, label in images])
    return [SPLITS[index] for index in divide(places, labels, Proportions())]


def shares(images: list[tuple[str, int]], splits: list[str], label: int) -> list[int]:
    mine = [split for (_, other), split in zip(images, splits, strict=True) if other == label]
    return [mine.count(split) for split in SPLITS]


def test_each_class_gives_its_share():
    sizes = {0: 1, 1: 2, 2: 3, 3: 200, 5: 30}
    images = [(digest, label) for label, n in sizes.items() for digest in contents(str(label), n)]
    found = division(images)
    assert {label: shares(images, found, label) for label in sizes} == {
        0: [1, 0, 0],
        1: [1, 0, 1],
        2: [1, 1, 1],
        3: [160, 20, 20],
        5: [24, 3, 3],
    }
    assert division([]) == []


def test_neither_order_nor_other_classes_decide_but_the_seed_does():
    images = [(digest, label) for label in (0, 1) for digest in contents(str(label), 100)]
    found = dict(zip(images, division(images), strict=True))
    shuffled = random.Random(1).sample(images, len(images))
    assert dict(zip(shuffled, division(shuffled), strict=True)) == found
    alone = [image for image in images if image[1] == 1]
    assert division(alone) == [found[image] for image in alone]
    assert division(images, seed=1) != [found[image] for image in images]


def test_copies_count_once_and_stay_together_under_any_label():
    images = [(digest, 0) for digest in contents("a", 100)]
    # Half of them three times, and a tenth under another label, which has nothing else.
    images += images[:50] * 2 + [(digest, 1) for digest, _ in images[:10]]
    by_picture: dict[str, set[str]] = {}
    for (digest, _), split in zip(images, division(images), strict=True):
        by_picture.setdefault(digest, set()).add(split)
    assert all(len(splits) == 1 for splits in by_picture.values())
    assert division(images[::-1])[::-1] == division(images)
    once = [split for splits in by_picture.values() for split in splits]
    assert [once.count(split) for split in SPLITS] == [80, 10, 10]


def test_one_more_picture_moves_at_most_one_across_each_cut():
    images = [(digest, 0) for digest in contents("a", 400)]
    before = dict(zip(images[:3], division(images[:3]), strict=True))
    moves = 0
    for count in range(4, 401):
        after = dict(zip(images[:count], division(images[:count]), strict=True))
        moved = [{split, after[image]} for image, split in before.items() if split != after[image]]
        assert all("train" in pair for pair in moved)  # never from eval to test or back
        assert sum("eval" in pair for pair in moved) <= 1
        assert sum("test" in pair for pair in moved) <= 1
        moves += len(moved)
        before = after
    assert moves < 200  # of 397 additions; each deals out up to 400


def test_ten_per_cent_more_move_about_one_in_a_hundred():
    images = [(digest, 0) for digest in contents("a", 1100)]
    before, after = division(images[:1000]), division(images)
    assert sum(x != y for x, y in zip(before, after, strict=False)) <= 15
