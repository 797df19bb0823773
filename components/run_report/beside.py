"""Suspect labels and the statistics of pictures, as the page has them."""

from pathlib import Path
from typing import TypeAlias

from data.statistics.report import Pictures
from data.statistics.shares import Shares, shares
from data.suspects.report import Suspects
from signs import features

Named: TypeAlias = list[tuple[str, list[str]]]  # words, and source ids

_MOST = 24
_MOST_OF_A_KIND = 8


def suspects(folder: Path | None) -> Named:
    """The labels that are probably wrong, each with its nearest image of the other class."""
    if folder is None:
        return []
    return [
        (
            f"Labelled {one.label}, perhaps {one.suggested}, {100 * one.probability:.0f} %",
            [one.id, one.neighbour],
        )
        for one in Suspects.read(folder).suspects[:_MOST]
    ]


def odd(found: Pictures) -> Named:
    """The odd pictures by kind."""
    return [
        (
            f"{kind.replace('_', ' ').capitalize()} ({found.odd_counts[kind]:,})",
            [one.id for one in ones[:_MOST_OF_A_KIND]],
        )
        for kind, ones in found.odd.items()
    ]


def like(found: Pictures) -> dict[str, Shares]:
    """What the pictures of each split are like, by feature; of classes the mosaics tell."""
    names = dict.fromkeys(name for one in found.splits.values() for name in one)
    return {
        name: shares({split: one[name] for split, one in found.splits.items() if name in one})
        for name in names
        if name != features.CLASS_NAME
    }
