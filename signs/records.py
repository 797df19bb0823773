"""TFRecord: the framing of spans (gzipped), warm-up files and the request log.

A record is: length (uint64), masked CRC32C of the length (uint32), data, masked CRC32C of the data
(uint32), all little-endian. Source: tensorflow/core/lib/io/record_writer.cc, record_reader.cc.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import google_crc32c

_LENGTH_BYTES, _CHECKSUM_BYTES = 8, 4
_HEADER_BYTES = _LENGTH_BYTES + _CHECKSUM_BYTES
_BLOCK_BYTES = 1 << 20


class Readable(Protocol):
    """A file object of bytes, compressed or not."""

    def read(self, size: int, /) -> bytes:
        """Returns at most `size` bytes; none at the end."""


class RecordError(ValueError):
    """A file that is damaged, or no TFRecord file; the text is TensorFlow's."""


class TruncatedRecordError(RecordError):
    """A file that ends within a record, as one does whose writer was killed."""


def encode(data: bytes) -> bytes:
    """The bytes of one record."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked_crc32c(length), data, _masked_crc32c(data)))


def read_records(path: Path) -> Iterator[bytes]:
    """Yields the records of a file; see `decode`.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        yield from decode(file)


def decode(file: Readable) -> Iterator[bytes]:
    """Yields the records that a file object gives from here on.

    As in TensorFlow, a file that ends within the header of a record simply ends there.

    Raises:
        RecordError: a checksum that does not hold.
        TruncatedRecordError: the file ends within the data of a record.
    """
    offset = 0
    while len(header := file.read(_HEADER_BYTES)) == _HEADER_BYTES:
        if _masked_crc32c(header[:_LENGTH_BYTES]) != header[_LENGTH_BYTES:]:
            hint = "" if offset else " (Is this even a TFRecord file?)"
            raise RecordError(f"corrupted record at {offset}{hint}")
        (length,) = struct.unpack("<Q", header[:_LENGTH_BYTES])
        data, checksum = _read(file, length), file.read(_CHECKSUM_BYTES)
        if len(data) + len(checksum) < length + _CHECKSUM_BYTES:
            raise TruncatedRecordError(
                f"truncated record at {offset}' failed with Read less bytes than requested"
            )
        if _masked_crc32c(data) != checksum:
            raise RecordError(f"corrupted record at {offset + _HEADER_BYTES}")
        yield data
        offset += _HEADER_BYTES + length + _CHECKSUM_BYTES


def _read(file: Readable, length: int) -> bytes:
    """Reads in blocks, since a length may be anything, and memory is made before it is read."""
    blocks = []
    while length and (block := file.read(min(length, _BLOCK_BYTES))):
        blocks.append(block)
        length -= len(block)
    return b"".join(blocks)


def _masked_crc32c(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
