"""Rows of pictures that nobody has taken, as `data.statistics.collect` would have measured them."""

import numpy as np
import pyarrow as pa

from data.statistics.collect import MEASURED
from data.statistics.measure import NUMBERS
from signs.features import CLASS_NAME, SOURCE_ID, SPLIT


def measured(seed: int, count: int, light: float = 0.5) -> pa.RecordBatch:
    """So many, of such a brightness; every numbered picture has its number as source id."""
    rng = np.random.default_rng(seed)
    numbers = {name: rng.normal(light, 0.1, count).clip(0.2, 0.8) for name in NUMBERS}
    numbers["information"] *= 10
    words = {
        SOURCE_ID: [f"{seed}/{number:07d}" for number in range(count)],
        SPLIT: ["train"] * count,
        CLASS_NAME: [f"class {number % 5}" for number in range(count)],
        "aspect": [("1:1", "2:1")[number % 7 == 0] for number in range(count)],
        "size": ["64 pixels"] * count,
        "format": ["JPEG"] * count,
    }
    return pa.RecordBatch.from_pydict({**words, **numbers}, schema=MEASURED)


def changed(batch: pa.RecordBatch, rows: dict[int, dict[str, float | str]]) -> pa.RecordBatch:
    """The same, but for some features of some rows."""
    all_rows = batch.to_pylist()
    for number, features in rows.items():
        all_rows[number].update(features)
    return pa.RecordBatch.from_pylist(all_rows, schema=MEASURED)


def cut(batch: pa.RecordBatch, rows: int) -> list[pa.RecordBatch]:
    """The same pictures in batches of so many."""
    return [batch.slice(start, rows) for start in range(0, batch.num_rows, rows)]


def shuffled(batch: pa.RecordBatch, seed: int = 0) -> pa.RecordBatch:
    """The same pictures in another order."""
    return batch.take(pa.array(np.random.default_rng(seed).permutation(batch.num_rows)))
