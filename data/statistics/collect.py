"""Measures the pictures of Examples with Beam, on this machine or wherever its runner works.

    Examples -> measure -> Parquet files, a row for each picture -> one table

A row has MEASURED's columns, and a picture is some 100 bytes of it.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from pyarrow import parquet

from data.beam import files_of, records_of
from data.sample import Sample
from data.statistics.measure import NUMBERS, WORDS, measure
from signs.features import CLASS_NAME, SOURCE_ID, SPLIT

FILES = "measures"  # what the files' names begin with
MEASURED = pa.schema(
    [
        *((name, pa.string()) for name in (SOURCE_ID, SPLIT, CLASS_NAME, *WORDS)),
        *((name, pa.float64()) for name in NUMBERS),
    ]
)


def write(pipeline: beam.Pipeline, patterns: Iterable[str], folder: str) -> None:
    """Adds the steps to a pipeline, and what writes the rows into a folder.

    Args:
        pipeline: Where to add them.
        patterns: Of gzipped TFRecord files of what `data.sample.Sample.serialize` writes.
        folder: Where the files are to lie.
    """
    _ = (
        pipeline
        | "Files" >> beam.Create(files_of([*patterns]))
        | "Spread" >> beam.Reshuffle()
        | "Measure" >> beam.FlatMap(_rows)
        | "Write"
        >> beam.io.WriteToParquet(f"{folder}/{FILES}", MEASURED, file_name_suffix=".parquet")
    )


def read(folder: Path) -> pa.Table:
    """Returns the rows of a folder, in the order of their source ids."""
    tables = [parquet.read_table(path) for path in sorted(folder.glob(f"{FILES}*.parquet"))]
    return pa.concat_tables([MEASURED.empty_table(), *tables]).sort_by(SOURCE_ID)


def _rows(path: str) -> Iterator[dict[str, Any]]:
    for serialized in records_of(path):
        sample = Sample.parse(serialized)
        # What an older release let in and does not decode, the Trainer names.
        with contextlib.suppress(OSError):
            yield {
                SOURCE_ID: sample.source_id,
                SPLIT: sample.split,
                CLASS_NAME: sample.class_name,
                **asdict(measure(sample.image)),
            }
