"""TFRecord files, uncompressed: what warm-up files and the request log are made of.

A record is: length (uint64), masked CRC32C of the length (uint32), data, masked CRC32C of the data
(uint32), all little-endian. Source: tensorflow/core/lib/io/record_writer.cc, record_reader.cc.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

_LENGTH_BYTES, _CHECKSUM_BYTES = 8, 4
_HEADER_BYTES = _LENGTH_BYTES + _CHECKSUM_BYTES


class RecordError(ValueError):
    """A file that is damaged, or no TFRecord file; the text is TensorFlow's."""


class TruncatedRecordError(RecordError):
    """A file that ends within a record, as one does whose writer was killed."""


def encode(data: bytes) -> bytes:
    """The bytes of one record."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked_crc32c(length), data, _masked_crc32c(data)))


def read_records(path: Path) -> Iterator[bytes]:
    """Yields the records of a file.

    As in TensorFlow, a file that ends within the header of a record simply ends there.

    Raises:
        RecordError: a checksum that does not hold.
        TruncatedRecordError: the file ends within the data of a record.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        offset = 0
        while len(header := file.read(_HEADER_BYTES)) == _HEADER_BYTES:
            if _masked_crc32c(header[:_LENGTH_BYTES]) != header[_LENGTH_BYTES:]:
                hint = "" if offset else " (Is this even a TFRecord file?)"
                raise RecordError(f"corrupted record at {offset}{hint}")
            (length,) = struct.unpack("<Q", header[:_LENGTH_BYTES])
            end = offset + _HEADER_BYTES + length + _CHECKSUM_BYTES
            if end > size:  # looked at before reading: a length may be anything
                raise TruncatedRecordError(
                    f"truncated record at {offset}' failed with Read less bytes than requested"
                )
            data = file.read(length)
            if _masked_crc32c(data) != file.read(_CHECKSUM_BYTES):
                raise RecordError(f"corrupted record at {offset + _HEADER_BYTES}")
            yield data
            offset = end


def _masked_crc32c(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
