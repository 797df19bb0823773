"""What all other pictures say of each picture's label.

descriptors -> similarity; with labels and groups of copies -> probabilities

The judge is a kernel ridge regression onto the classes. What it would say of a picture had it
never seen the picture and its copies follows from one matrix that is inverted once (leave-one-out
in closed form: Rasmussen and Williams 2006, section 5.4.2): nothing is trained again, nothing is
random. Neighbours in a burst do judge one another: without them 14 of 20 planted labels of SIGNS
are found, with them all (benchmarks/suspects.py).
"""

from collections.abc import Iterable, Sequence

import numpy as np

_RIDGE = 0.1
_LEAST = 1e-4  # probability


def similarity(descriptors: np.ndarray, parts: Iterable[tuple[int, float]]) -> np.ndarray:
    """Returns how alike pictures are: float64 [n, n], in (0, 1], 1 for equal ones.

    Args:
        descriptors: float32 [n, all sizes].
        parts: Size and share of each part, see `data.suspects.descriptor.Descriptor`.
    """
    alike = np.zeros((len(descriptors), len(descriptors)))
    begin = 0
    for size, share in parts:
        alike += share * np.exp(-_distances(descriptors[:, begin : begin + size]))
        begin += size
    return alike


def probabilities(alike: np.ndarray, labels: np.ndarray, copies: Sequence[int]) -> np.ndarray:
    """Returns of each picture what all others say of it: float64 [n, classes], rows add up to 1.

    Args:
        alike: What `similarity` returned.
        labels: int64 [n], each class in [0, classes) at least once.
        copies: Of each picture the number of its group: none of a group judges another of it.
    """
    count, classes = len(labels), int(labels.max()) + 1
    inverse = np.linalg.inv(alike + _RIDGE * np.eye(count))
    targets = (labels[:, None] == np.arange(classes)) - 1 / classes
    weights = inverse @ targets
    said = targets - weights / np.diagonal(inverse)[:, None]
    groups: dict[int, list[int]] = {}
    for index, number in enumerate(copies):
        groups.setdefault(number, []).append(index)
    for members in groups.values():
        if len(members) > 1:
            one = np.array(members)
            block = inverse[one[:, None], one]
            said[one] = targets[one] - np.linalg.solve(block, weights[one])
    clipped = np.clip(said + 1 / classes, _LEAST, 1)
    return clipped / clipped.sum(axis=1, keepdims=True)


def _distances(vectors: np.ndarray) -> np.ndarray:
    """Returns squared distances, of which the median is 1: float32 [n, n]."""
    squares = (vectors**2).sum(axis=1)
    found = np.maximum(squares[:, None] + squares - 2 * vectors @ vectors.T, 0)
    return found / max(float(np.median(found)), 1e-6)
