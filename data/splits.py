"""Which split an image goes to when the data itself does not say: a share of each class.

    content -> place (a hash) -> rank within the class -> test | train ... train | eval

The pictures of a class stand in the order of their places; test takes its share from one end and
eval from the other. This depends on the content and the seed alone: names, order and workers change
nothing, and identical pictures stand at one place. One more picture in a class moves at most one
of the old ones into or out of test, one into or out of eval, and none from the one to the other. Of
pictures that come later none of the old ones moves: test and eval take what they lack of the new.
"""

import dataclasses
import hashlib
import math
from collections.abc import Collection, Mapping
from typing import Self

import numpy as np

from signs.features import EVAL, SPLITS, TEST, TRAIN


@dataclasses.dataclass(frozen=True)
class Proportions:
    """How undivided images are divided; the three add up to 1.

    Attributes:
        train: In [0, 1].
        eval: In [0, 1].
        test: In [0, 1].
    """

    train: float = 0.8
    eval: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        parts = (self.train, self.eval, self.test)
        if min(parts) < 0 or not math.isclose(sum(parts), 1):
            raise ValueError(f"the proportions must be positive and add up to 1. Received: {parts}")

    @classmethod
    def missing(cls, given: Collection[str]) -> Self | None:
        """Returns how to divide data that comes with only the splits `given`; None if as it is.

        A missing eval or test split is taken from the training images, never from test images.
        """
        if not given:
            return cls()
        if TRAIN not in given or set(given) == set(SPLITS):
            return None
        if EVAL in given:
            return cls(train=0.8, eval=0.0, test=0.2)
        if TEST in given:
            return cls(train=0.8, eval=0.2, test=0.0)
        return cls()

    def quotas(self, pictures: int) -> tuple[int, int]:
        """Returns how many of a class's pictures go to eval and to test, rounded.

        Each gets one at least where it has a share, but the first picture is for train and the
        second for test: 1 gives train alone, 2 train and test, 3 all of them.
        """
        spare = max(pictures - 1, 0)
        test = min(_rounded(self.test, pictures), spare)
        return min(_rounded(self.eval, pictures), spare - test), test

    def as_dict(self) -> Mapping[str, float]:
        """Returns the three numbers by split."""
        return dataclasses.asdict(self)


def place_of(digest: str, seed: int) -> int:
    """Returns where a picture stands, in [0, 2**64).

    Args:
        digest: SHA-256 of its bytes, in hexadecimal.
        seed: Another seed, another division.
    """
    hashed = hashlib.blake2b(f"{seed} {digest}".encode(), digest_size=8)
    return int.from_bytes(hashed.digest(), "little")


def divide(
    places: np.ndarray,
    labels: np.ndarray,
    proportions: Proportions,
    there: np.ndarray | None = None,
) -> np.ndarray:
    """Divides images so that each class gives its share to every split.

    Copies of a picture count once and stay together. A picture under several labels counts for the
    first of them.

    Args:
        places: uint64 [n], what `place_of` returns.
        labels: int [n], not negative.
        proportions: What share goes where.
        there: int [classes, 3], pictures by label and split that stay where they are.

    Returns:
        uint8 [n]: indices into `signs.features.SPLITS`.
    """
    pictures, copies = np.unique(places, return_inverse=True)
    label_of = np.full(len(pictures), np.iinfo(np.int32).max, np.int32)
    np.minimum.at(label_of, copies, labels.astype(np.int32))
    by_label = np.argsort(label_of, kind="stable")  # and by place within a label
    split_of = np.full(len(pictures), SPLITS.index(TRAIN), np.uint8)
    end = 0
    for label, count in enumerate(np.bincount(label_of).tolist() if len(pictures) else ()):
        start, end = end, end + count
        old = np.zeros(len(SPLITS), int) if there is None else there[label]
        in_eval, in_test = proportions.quotas(count + int(old.sum()))
        in_test = min(max(in_test - int(old[SPLITS.index(TEST)]), 0), count)
        in_eval = min(max(in_eval - int(old[SPLITS.index(EVAL)]), 0), count - in_test)
        split_of[by_label[start : start + in_test]] = SPLITS.index(TEST)
        split_of[by_label[end - in_eval : end]] = SPLITS.index(EVAL)
    return split_of[copies]


def _rounded(share: float, pictures: int) -> int:
    return max(math.floor(share * pictures + 0.5), 1) if share else 0
