"""Distributions of a feature beside each other, over the same parts.

Numbers or Words by name -> Shares
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from data.statistics.report import Numbers, Words

_PARTS = 20  # of numbers


@dataclass(frozen=True)
class Shares:
    """Which share of the pictures is in each part.

    Attributes:
        parts: Words, or where numbers begin; of numbers one more, the end of the last.
        of: By the name of the pictures, the shares, each in [0, 1].
        is_number: Whether the parts are of a number.
    """

    parts: tuple[str, ...]
    of: dict[str, tuple[float, ...]]
    is_number: bool


def shares(distributions: Mapping[str, Numbers | Words]) -> Shares:
    """Lays distributions of one feature over the same parts.

    Args:
        distributions: By the name of the pictures; at least one, and all of one kind.
    """
    numbers = {name: one for name, one in distributions.items() if isinstance(one, Numbers)}
    if not numbers:
        words = {name: one for name, one in distributions.items() if isinstance(one, Words)}
        parts = tuple(dict.fromkeys(word for one in words.values() for word in one.counts))
        of = {name: tuple(share(one, word) for word in parts) for name, one in words.items()}
        return Shares(parts, of, is_number=False)
    low = min(one.min for one in numbers.values())
    high = max(one.max for one in numbers.values())
    width = (high - low) / _PARTS or 1.0
    ends = [low + part * width for part in range(_PARTS + 1)]
    return Shares(
        tuple(f"{end:.3g}" for end in ends),
        {
            name: tuple(_within(one, start, end) for start, end in pairwise(ends))
            for name, one in numbers.items()
        },
        is_number=True,
    )


def share(words: Words, word: str) -> float:
    """The share of the pictures that have a word, in [0, 1]."""
    return words.counts.get(word, 0) / (sum(words.counts.values()) or 1)


def _within(one: Numbers, start: float, end: float) -> float:
    """The share between two values, as if each part of the histogram were level."""
    total = 0.0
    for low, high, count in one.histogram:
        if high > low:
            total += count * max(0.0, min(end, high) - max(start, low)) / (high - low)
        elif start <= low < end:
            total += count
    return total / (one.count or 1)
