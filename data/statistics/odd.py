"""Single pictures that somebody should look at: dark, bright, blurred, low in information, odd.

rows of `data.statistics.collect`, domains of the schema -> pictures by kind, the worst first

What is dark or blurred the schema says, by the domain of brightness or sharpness. A picture is odd
that is beyond the fences of all.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
from tensorflow_metadata.proto.v0 import schema_pb2

from data.statistics.compare import fences
from data.statistics.measure import NUMBERS
from data.statistics.report import Example
from data.statistics.worst import Worst

# By feature: what a picture is below its domain, and above.
_KINDS = {
    "brightness": ("dark", "bright"),
    "contrast": ("low_information", None),
    "sharpness": ("blurred", None),
    "information": ("low_information", None),
}
_SHOWN = 30  # of each kind


def odd(
    rows: Iterable[pa.RecordBatch], schema: schema_pb2.Schema
) -> tuple[dict[str, int], dict[str, tuple[Example, ...]]]:
    """Finds them.

    Args:
        rows: Are gone through several times.
        schema: With domains.

    Returns:
        How many there are of each kind that there is, and the first of them.
    """
    limits = {feature: fences(rows, feature) for feature in NUMBERS}
    worst: defaultdict[str, Worst] = defaultdict(lambda: Worst(_SHOWN))
    for batch in rows:
        found: defaultdict[str, dict[int, tuple[float, str]]] = defaultdict(dict)
        for kind, feature, numbers, by in _all(batch, schema, limits):
            of_kind = found[kind]
            for row, distance in zip(numbers.tolist(), by.tolist(), strict=True):
                # A picture that is of a kind by several features is one picture.
                of_kind[row] = max(of_kind.get(row, (0.0, "")), (distance, feature))
        for kind, pictures in found.items():
            worst[kind].add(batch, [(row, *how) for row, how in pictures.items()])
    there = {kind: one for kind, one in worst.items() if one.found}
    return (
        {kind: one.found for kind, one in there.items()},
        {kind: one.examples for kind, one in there.items()},
    )


def _all(
    batch: pa.RecordBatch, schema: schema_pb2.Schema, limits: Mapping[str, tuple[float, float]]
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Yields a kind, a feature, rows of the batch, and how far each is from what is usual."""
    domains = {one.name: one.float_domain for one in schema.feature if one.HasField("float_domain")}
    for feature in NUMBERS:
        values = batch[feature].to_numpy()
        below, above = _KINDS[feature]
        if feature in domains:
            domain = domains[feature]
            if below and domain.HasField("min"):
                rows = np.flatnonzero(values < domain.min)
                yield below, feature, rows, 1 - values[rows] / domain.min
            if above and domain.HasField("max"):
                rows = np.flatnonzero(values > domain.max)
                yield above, feature, rows, values[rows] / domain.max - 1
        low, high = limits[feature]
        rows = np.flatnonzero((values < low) | (values > high))
        yield (
            "odd",
            feature,
            rows,
            np.maximum(low - values[rows], values[rows] - high) / (high - low),
        )
