"""Single pictures that somebody should look at: dark, bright, blurred, low in information, odd.

table of `data.statistics.collect`, domains of the schema -> pictures by kind, the worst first

What is dark or blurred the schema says, by the domain of brightness or sharpness. A picture is odd
that is beyond the fences of all.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from tensorflow_metadata.proto.v0 import schema_pb2

from data.statistics.compare import example, fences
from data.statistics.measure import NUMBERS
from data.statistics.report import Example

# By feature: what a picture is below its domain, and above.
_KINDS = {
    "brightness": ("dark", "bright"),
    "contrast": ("low_information", None),
    "sharpness": ("blurred", None),
    "information": ("low_information", None),
}
_SHOWN = 30  # of each kind


def odd(
    table: pa.Table, schema: schema_pb2.Schema
) -> tuple[dict[str, int], dict[str, tuple[Example, ...]]]:
    """Finds them.

    Returns:
        How many there are of each kind that there is, and the first of them.
    """
    found: dict[str, dict[int, tuple[float, str]]] = {}
    for kind, feature, rows, by in _all(table, schema):
        if not len(rows):
            continue
        of_kind = found.setdefault(kind, {})
        for row, distance in zip(rows.tolist(), by.tolist(), strict=True):
            of_kind[row] = max(of_kind.get(row, (0.0, "")), (distance, feature))
    shown = {}
    for kind, pictures in found.items():
        worst = sorted(pictures.items(), key=lambda item: (-item[1][0], item[0]))[:_SHOWN]
        rows = table.take([row for row, _ in worst]).to_pylist()
        shown[kind] = tuple(
            example(row, feature) for row, (_, (_, feature)) in zip(rows, worst, strict=True)
        )
    return {kind: len(pictures) for kind, pictures in found.items()}, shown


def _all(
    table: pa.Table, schema: schema_pb2.Schema
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Yields a kind, a feature, rows of the table, and how far each is from what is usual."""
    domains = {one.name: one.float_domain for one in schema.feature if one.HasField("float_domain")}
    for feature in NUMBERS:
        values = table[feature].to_numpy()
        below, above = _KINDS[feature]
        if feature in domains:
            domain = domains[feature]
            if below and domain.HasField("min"):
                rows = np.flatnonzero(values < domain.min)
                yield below, feature, rows, 1 - values[rows] / domain.min
            if above and domain.HasField("max"):
                rows = np.flatnonzero(values > domain.max)
                yield above, feature, rows, values[rows] / domain.max - 1
        low, high = fences(values)
        rows = np.flatnonzero((values < low) | (values > high))
        yield (
            "odd",
            feature,
            rows,
            np.maximum(low - values[rows], values[rows] - high) / (high - low),
        )
