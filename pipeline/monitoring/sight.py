"""How far from test pictures the network sees what is asked.

image -> what the network sees -> cosine distance to the nearest test picture -> Distance, Anomaly

Test pictures have that distance from one another, too. How much more often those that are asked
are farther is the one-sided statistic of Kolmogorov and Smirnov, in [0, 1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

from data.statistics.compare import MIN_PICTURES, Distance
from data.statistics.report import Anomaly, Example
from pipeline.monitoring.requests import Asked
from signs import features

FEATURE, MEASURE = "embedding", "kolmogorov_smirnov"
_MOST = 300  # pictures, the newest: of ResNet50 four seconds of one core
_SHOWN = 3


@dataclass(frozen=True)
class Sight:
    """A network, and what it sees in test pictures.

    Attributes:
        look: What it sees in an encoded image, float [size]; OSError where it does not decode.
        test: In test pictures, float [pictures, size].
    """

    look: Callable[[bytes], np.ndarray]
    test: np.ndarray


def sight_of(version: Path) -> Sight | None:
    """The sight of a pushed version; None where an older release has pushed it."""
    if not (version / features.TEST_EMBEDDINGS).is_file():
        return None
    from modules.embedding import Embedding

    return Sight(Embedding(version), np.load(version / features.TEST_EMBEDDINGS))


def far_apart(
    asked: Sequence[Asked], sight: Sight, limit: float, name: str
) -> tuple[Distance | None, Anomaly | None]:
    """Compares the newest pictures with test pictures.

    Args:
        asked: All of which decode.
        sight: What to look with.
        limit: How far apart they may be.
        name: What those are called.

    Returns:
        How far apart they are, None where there are too few; and the anomaly that it is.
    """
    asked = asked[-_MOST:]
    if min(len(asked), len(sight.test)) < MIN_PICTURES:
        return None, None
    test = sight.test.astype(np.float32)
    between = cdist(test, test, "cosine")
    np.fill_diagonal(between, np.inf)
    usual = between.min(axis=1)
    far = cdist(np.stack([sight.look(one.image) for one in asked]), test, "cosine").min(axis=1)
    value = float(ks_2samp(far, usual, alternative="less").statistic)
    found = Distance(FEATURE, MEASURE, value, limit)
    if value <= limit:
        return found, None
    farthest = [
        Example(asked[row].id, name, asked[row].class_name, FEATURE, float(far[row]))
        for row in np.argsort(-far, kind="stable")[:_SHOWN]
    ]
    shown = ", ".join(f"{one.id} ({one.value:.3g})" for one in farthest)
    text = (
        f"the network sees the {name} pictures farther from the nearest test picture than those "
        f"are from one another: Kolmogorov and Smirnov's statistic {value:.2f}, limit {limit:g}; "
        f"the median is {np.median(far):.3g}, there {np.median(usual):.3g}; such as {shown}"
    )
    return found, Anomaly(
        kind="skew",
        feature=FEATURE,
        split=name,
        against=features.TEST,
        measure=MEASURE,
        value=value,
        limit=limit,
        text=text,
        examples=tuple(farthest),
    )
