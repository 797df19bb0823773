"""Photographs that were taken one right after the other, by the numbers that a camera gives them.

train_signs/0_IMG_5957 (1).jpg -> 5957: those within ten numbers show nearly the same
"""

import re
from collections.abc import Mapping

import numpy as np

from signs.features import EVAL, TEST, TRAIN

WITHIN = 10  # numbers
_NUMBER = re.compile(r"(?:^|[/_])IMG_(\d{1,18})(?!\d)[^/]*$")


def number_of(source_id: str) -> int | None:
    """Returns the number of a photograph; None where its name has none."""
    found = _NUMBER.search(source_id)
    return int(found[1]) if found else None


def is_within(numbers: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether each photograph was taken within ten numbers of one of the others.

    Args:
        numbers: int64 [n].
        others: int64 [m], in any order.

    Returns:
        bool [n].
    """
    if not len(others):
        return np.zeros(len(numbers), bool)
    others = np.sort(others)
    after = np.searchsorted(others, numbers)
    before = others[np.maximum(after - 1, 0)]
    following = others[np.minimum(after, len(others) - 1)]
    return np.minimum(np.abs(numbers - before), np.abs(following - numbers)) <= WITHIN


def near_training(numbers: Mapping[str, np.ndarray]) -> int:
    """How many test images have a neighbour among those that are trained on.

    Args:
        numbers: Of each split those of its photographs, int64 [n].
    """
    known = np.concatenate([numbers[TRAIN], numbers[EVAL]])
    return int(is_within(numbers[TEST], known).sum())
