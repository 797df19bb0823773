"""The few pictures of which something is most true, of however many: they are the examples.

batches of rows, and how far some of them are from what is usual -> Examples, the farthest first
"""

import heapq
from collections.abc import Collection
from operator import itemgetter

import pyarrow as pa

from data.statistics.report import Example
from signs.features import CLASS_NAME, SOURCE_ID, SPLIT


class Worst:
    """Keeps the farthest; of equally far ones those whose source ids come first.

    So it does not matter in which order pictures come.

    Args:
        count: How many to keep.

    Attributes:
        found: How many there were.
    """

    def __init__(self, count: int) -> None:
        self.found = 0
        self._count = count
        self._kept: list[tuple[float, str, Example]] = []

    def add(self, batch: pa.RecordBatch, found: Collection[tuple[int, float, str]]) -> None:
        """Looks at rows.

        Args:
            batch: Of `data.statistics.collect`.
            found: Of some of its rows each the number, how far it is, and by which feature.
        """
        self.found += len(found)
        ids = batch[SOURCE_ID].to_pylist()
        first = heapq.nsmallest(
            self._count, ((-far, ids[number], number, feature) for number, far, feature in found)
        )
        rows = batch.take(pa.array([number for _, _, number, _ in first], pa.int64())).to_pylist()
        examples = [
            (order, name, Example(name, row[SPLIT], row[CLASS_NAME], feature, row[feature]))
            for row, (order, name, _, feature) in zip(rows, first, strict=True)
        ]
        self._kept = heapq.nsmallest(self._count, self._kept + examples, key=itemgetter(0, 1))

    @property
    def examples(self) -> tuple[Example, ...]:
        """Those that are kept, the farthest first."""
        return tuple(example for *_, example in self._kept)
