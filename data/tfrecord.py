"""TFRecord files, gzipped, with their checksum.

A record is: length (uint64), masked CRC32C of the length (uint32), data, masked CRC32C of the data
(uint32), all little-endian. Source: tensorflow/core/lib/io/record_writer.cc.
"""

import dataclasses
import gzip
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import google_crc32c

# Encoded images hardly compress: level 1 saves what there is (the headers) at a third of the time.
_GZIP_LEVEL = 1


@dataclasses.dataclass(frozen=True)
class Written:
    """A finished file: its size, its SHA-256 and how many records it holds."""

    bytes: int
    sha256: str
    records: int


class Writer:
    """Writes one gzipped TFRecord file; equal records give equal bytes.

    The file is synced to the disk when it is closed; use it in a `with` statement.
    """

    def __init__(self, path: Path) -> None:
        self._file = _HashingFile(path)
        # Neither a time nor a name in the header: they would make every file different.
        self._gzip = gzip.GzipFile("", "wb", _GZIP_LEVEL, self._file, mtime=0)
        self._records = 0

    def write(self, record: bytes) -> None:
        """Appends one record."""
        length = struct.pack("<Q", len(record))
        self._gzip.write(b"".join((length, _masked_crc32c(length), record, _masked_crc32c(record))))
        self._records += 1

    def close(self) -> Written:
        """Closes the file and says what is in it."""
        self._gzip.close()
        self._file.close()
        return Written(self._file.size, self._file.digest.hexdigest(), self._records)

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
            self._file.abandon()


class _HashingFile:
    """A file that is only written, and hashed on the way."""

    mode = "wb"

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        self._file.close()


def read(path: Path) -> Iterator[bytes]:
    """Yields the records of a gzipped TFRecord file that `Writer` wrote.

    Raises:
        ValueError: A record whose checksum does not hold, or a file that ends within a record.
    """
    with gzip.open(path) as file:
        while header := file.read(12):
            if len(header) < 12 or _masked_crc32c(header[:8]) != header[8:]:
                raise ValueError(f"{path} is damaged: the length of a record is wrong")
            (length,) = struct.unpack("<Q", header[:8])
            record, checksum = file.read(length), file.read(4)
            if _masked_crc32c(record) != checksum:
                raise ValueError(f"{path} is damaged: a record differs from its checksum")
            yield record


def _masked_crc32c(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
