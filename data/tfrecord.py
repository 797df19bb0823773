"""Gzipped TFRecord files, hashed while they are written."""

import dataclasses
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from signs import records

# Encoded images hardly compress: level 1 saves what there is (the headers) at a third of the time.
_GZIP_LEVEL = 1
_GZIP = 16 + zlib.MAX_WBITS  # as zlib is told of gzip's header and end


@dataclasses.dataclass(frozen=True)
class Written:
    """A finished file: its size, its SHA-256 and how many records it holds."""

    bytes: int
    sha256: str
    records: int


class Writer:
    """Writes one gzipped TFRecord file; equal records give equal bytes.

    Use it in a `with` statement. Who publishes the file syncs it to the disk.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        # Neither a time nor a name in the header: they would make every file different. (GzipFile
        # leaves them out, too, but from Python 3.12 on it complains where a disk is full.)
        self._gzip = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP)
        self._bytes = self._records = 0

    def write(self, record: bytes) -> None:
        """Appends one record."""
        self._write(self._gzip.compress(records.encode(record)))
        self._records += 1

    def close(self) -> Written:
        """Closes the file and says what is in it; may be called again."""
        if not self._file.closed:
            self._write(self._gzip.flush())
            self._file.close()
        return Written(self._bytes, self._digest.hexdigest(), self._records)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._bytes += self._file.write(data)


def read(path: Path) -> Iterator[bytes]:
    """Yields the records of a gzipped TFRecord file.

    Raises:
        ValueError: a record whose checksum does not hold, or a file that ends too early.
    """
    with gzip.open(path) as file:
        yield from records_in(file, path)


def records_in(file: records.Readable, path: Path | str) -> Iterator[bytes]:
    """Yields the records of an open file, unpacked; errors name its path.

    Raises:
        ValueError: as `read`.
    """
    try:
        yield from records.decode(file)
    except (records.RecordError, gzip.BadGzipFile, zlib.error, EOFError) as err:
        raise ValueError(f"{path} is damaged: {err}") from err
