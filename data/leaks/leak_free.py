"""A division that keeps on one side what shows nearly the same.

groups of copies, numbers of bursts -> places -> data.splits.divide -> what stands near is left out

Copies, exact and near, have one place, so that they stay together. Photographs with a number stand
in the order of their numbers: what is held out of a class is a stretch of it, and ten numbers on
either side of a stretch are in no split.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from data.leaks.bursts import is_within, number_of
from data.leaks.report import Group
from data.pictures import Picture
from data.splits import Proportions, divide, place_of
from signs.features import EVAL, SPLITS, TEST, TRAIN

_LAST = 2**63


def leak_free(
    pictures: Sequence[Picture],
    groups: Iterable[Group],
    *,
    seed: int = 0,
    proportions: Proportions | None = None,
) -> list[str | None]:
    """Gives every image a split, or none.

    Args:
        pictures: All of them.
        groups: Of copies among them.
        seed: Of the places of images without a number.
        proportions: What share goes where, by default 8 : 1 : 1.

    Returns:
        The split of each image; None leaves it out, since it was taken beside one that is held out.
    """
    first = {picture.source_id: group.pictures[0] for group in groups for picture in group.pictures}
    stands_for = [first.get(picture.source_id, picture) for picture in pictures]
    numbers = np.array([_number(picture) for picture in pictures], np.int64)
    ranks = _ranks(pictures, numbers.tolist())
    places = [_place(picture, seed, ranks) for picture in stands_for]
    names = sorted({picture.class_name for picture in pictures})
    labels = np.array([names.index(picture.class_name) for picture in pictures])
    split_of = divide(np.array(places, np.uint64), labels, proportions or Proportions())
    left_out = np.zeros(len(pictures), bool)
    for held, others in ((TEST, (TRAIN, EVAL)), (EVAL, (TRAIN,))):
        is_held = (split_of == SPLITS.index(held)) & (numbers >= 0) & ~left_out
        is_other = np.isin(split_of, [SPLITS.index(one) for one in others]) & (numbers >= 0)
        left_out |= is_other & is_within(numbers, numbers[is_held])
    return [
        None if is_out else SPLITS[split]
        for split, is_out in zip(split_of.tolist(), left_out.tolist(), strict=True)
    ]


def _number(picture: Picture) -> int:
    number = number_of(picture.source_id)
    return -1 if number is None else number


def _ranks(pictures: Sequence[Picture], numbers: Sequence[int]) -> dict[str, int]:
    """The place of each class in the order in which the classes were photographed."""
    first: dict[str, int] = {}
    for picture, number in zip(pictures, numbers, strict=True):
        if number >= 0:
            first[picture.class_name] = min(first.get(picture.class_name, number), number)
    return {name: rank for rank, name in enumerate(sorted(first, key=lambda name: first[name]))}


def _place(picture: Picture, seed: int, ranks: Mapping[str, int]) -> int:
    number = number_of(picture.source_id)
    if number is None:
        return place_of(picture.digest, seed)
    # Where one class ends the next begins. Both have the same split there, which needs no gap.
    return _LAST - number if ranks[picture.class_name] % 2 else number
