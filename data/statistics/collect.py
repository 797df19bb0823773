"""Measures the pictures of Examples with Beam, on this machine or wherever its runner works.

    a file of Examples -> measure -> a Parquet file, a row for each picture -> batches of rows

A row has MEASURED's columns and takes some 50 bytes on the disk. Nobody holds the rows of all
pictures: whoever looks at them goes through them in batches, as often as it has to.
"""

import contextlib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from pyarrow import parquet

from data.beam import records_of
from data.sample import Sample
from data.statistics.measure import NUMBERS, WORDS, measure
from signs.features import CLASS_NAME, SOURCE_ID, SPLIT

MEASURED = pa.schema(
    [
        *((name, pa.string()) for name in (SOURCE_ID, SPLIT, CLASS_NAME, *WORDS)),
        *((name, pa.float64()) for name in NUMBERS),
    ]
)
_BATCH = 4096  # rows: half a megabyte


def write(pipeline: beam.Pipeline, files: Iterable[str], folder: str) -> None:
    """Adds the steps to a pipeline, which write the rows of each file into a file of its own.

    Args:
        pipeline: Takes the steps.
        files: Gzipped TFRecord files of what `data.sample.Sample.serialize` writes.
        folder: Takes what is written; every worker sees it.
    """
    _ = (
        pipeline
        | "Files" >> beam.Create([*files])
        | "Spread" >> beam.Reshuffle()
        | "Measure" >> beam.Map(_write, folder)
    )


@dataclass(frozen=True)
class Rows:
    """The pictures of some files, as `write` has measured them.

    They come in the order of the files and of what is in them, on whatever runner they were
    measured.

    Attributes:
        folder: Where `write` has put them.
        files: Of Examples, as `write` was told of them.
    """

    folder: str
    files: tuple[str, ...]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yields batches of rows, each time from the beginning.

        Raises:
            FileNotFoundError: A file's are not there: who wrote them does not see this folder.
        """
        for file in self.files:
            with parquet.ParquetFile(_measured(self.folder, file)) as rows:
                for group in range(rows.num_row_groups):  # a batch that was written
                    yield from rows.read_row_group(group).to_batches()

    @property
    def images(self) -> int:
        """How many they are."""
        paths = [_measured(self.folder, file) for file in self.files]
        return sum(parquet.read_metadata(path).num_rows for path in paths)


def _measured(folder: str, file: str) -> Path:
    """Where the rows of a file are: splits have files of the same names."""
    return Path(folder, f"{Path(file).parent.name}-{Path(file).name}.parquet")


def _write(file: str, folder: str) -> None:
    """Writes the rows of a file; a runner may do it twice, or twice at once."""
    path = _measured(folder, file)
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    rows = _rows(file)
    with parquet.ParquetWriter(aside, MEASURED) as into:
        while batch := [*islice(rows, _BATCH)]:
            into.write_batch(pa.RecordBatch.from_pylist(batch, MEASURED))
    aside.replace(path)


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
