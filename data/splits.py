"""Which split an image goes to when the data itself does not say.

By a hash of the content, so that identical images always land in the same split and the answer
depends neither on the order of the files nor on the number of workers.
"""

import dataclasses
import hashlib
import math
from collections.abc import Collection, Mapping
from typing import Self

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

    def split_of(self, content: bytes, seed: int) -> str:
        """Returns the split for an image with these bytes."""
        digest = hashlib.sha256(seed.to_bytes(8, "little", signed=True) + content).digest()
        place = int.from_bytes(digest[:8], "little") / 2**64
        if place < self.train:
            return TRAIN
        return EVAL if place < self.train + self.eval else TEST

    def as_dict(self) -> Mapping[str, float]:
        """Returns the three numbers by split."""
        return dataclasses.asdict(self)
