"""TFRecord files: what TensorFlow writes we read, the other way round, and damage has its words."""

import subprocess
import sys
from pathlib import Path

import pytest

from serving.records import (
    RecordError,
    TruncatedRecordError,
    encode,
    read_records,
    write_record,
)


def write(path: Path, *records: bytes) -> Path:
    with path.open("wb") as file:
        for record in records:
            write_record(file, record)
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


def test_tensorflow_reads_and_writes_the_same_bytes(tmp_path):
    ours = write(tmp_path / "ours", b"hello", b"")
    code = """
import sys
import tensorflow as tf
with tf.io.TFRecordWriter(sys.argv[2]) as writer:
    for record in tf.data.TFRecordDataset(sys.argv[1]):
        writer.write(record.numpy())
"""
    theirs = tmp_path / "theirs"
    subprocess.run(
        [sys.executable, "-c", code, ours, theirs], check=True, capture_output=True, timeout=120
    )
    assert theirs.read_bytes() == ours.read_bytes()


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
    import struct

    from serving.records import _masked_crc32c

    length = struct.pack("<Q", 2**63)
    path = tmp_path / "log"
    path.write_bytes(length + _masked_crc32c(length) + b"x")
    assert failure(path).startswith("truncated record at 0'")
