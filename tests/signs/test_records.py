"""TFRecord files: what TensorFlow writes we read, the other way round, and damage has its words."""

import struct
from pathlib import Path

import pytest

from signs.records import RecordError, TruncatedRecordError, _masked_crc32c, encode, read_records


def write(path: Path, *records: bytes) -> Path:
    with path.open("wb") as file:
        for record in records:
            file.write(encode(record))
    return path


def failure(path: Path) -> str:
    with pytest.raises(RecordError) as caught:
        list(read_records(path))
    return str(caught.value)


def test_what_is_written_is_read(tmp_path):
    records = [b"", b"hello", bytes(range(256)) * 1000]
    assert list(read_records(write(tmp_path / "log", *records))) == records


def test_nothing_in_an_empty_file(tmp_path):
    assert list(read_records(write(tmp_path / "log"))) == []


def test_the_bytes_are_those_that_tensorflow_writes(tmp_path):
    path = write(tmp_path / "log", b"hello", b"")
    assert path.read_bytes().hex() == (
        # tf.io.TFRecordWriter: length and its checksum, data and its checksum
        "0500000000000000eab2043e68656c6c6fbb1f1c19000000000000000029039807d8ea82a2"
    )


@pytest.mark.parametrize("kept", [1, 7, 11])
def test_a_header_cut_short_is_the_end(tmp_path, kept):
    path = tmp_path / "log"
    path.write_bytes(encode(b"first") + encode(b"second")[:kept])
    assert list(read_records(path)) == [b"first"]


@pytest.mark.parametrize("kept", [12, 15, 21])
def test_data_cut_short(tmp_path, kept):
    path = tmp_path / "log"
    path.write_bytes(encode(b"first") + encode(b"second")[:kept])
    read = read_records(path)
    assert next(read) == b"first"
    with pytest.raises(TruncatedRecordError) as caught:
        next(read)
    assert str(caught.value) == (
        "truncated record at 21' failed with Read less bytes than requested"
    )


def test_no_tfrecord_file(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"<html>hello</html>")
    assert failure(path) == "corrupted record at 0 (Is this even a TFRecord file?)"


def test_a_flipped_bit(tmp_path):
    whole = bytearray(encode(b"first") + encode(b"second"))
    path = tmp_path / "log"
    for position, text in ((22, "corrupted record at 21"), (35, "corrupted record at 33")):
        damaged = whole.copy()
        damaged[position] ^= 1
        path.write_bytes(damaged)
        assert failure(path) == text


def test_a_length_beyond_all_memory(tmp_path):
    length = struct.pack("<Q", 2**63)
    path = tmp_path / "log"
    path.write_bytes(length + _masked_crc32c(length) + b"x")
    assert failure(path).startswith("truncated record at 0'")
