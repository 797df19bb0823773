import gc
import gzip
import hashlib
import random
import sys
from pathlib import Path

import pytest

from data import tfrecord

RECORDS = [b"", b"one", b"x" * 100_000]


def write(path, records=RECORDS):
    with tfrecord.Writer(path) as writer:
        for record in records:
            writer.write(record)
        return writer.close()


def test_round_trip_and_what_is_written(tmp_path):
    path = tmp_path / "a.tfrecord.gz"
    written = write(path)
    assert list(tfrecord.read(path)) == RECORDS
    assert written.records == 3
    assert written.bytes == path.stat().st_size
    assert written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_may_be_closed_again(tmp_path):
    with tfrecord.Writer(tmp_path / "a") as writer:
        writer.write(b"one")
        written = writer.close()
    assert writer.close() == written == write(tmp_path / "b", [b"one"])


def test_a_full_disk_is_told_once_and_nothing_after_it(monkeypatch):
    """From Python 3.12 on, GzipFile complains once more when it is collected."""
    later = []
    monkeypatch.setattr(sys, "unraisablehook", later.append)
    with pytest.raises(OSError, match="No space left"), tfrecord.Writer(Path("/dev/full")) as full:
        full.write(random.Random(0).randbytes(1_000_000))
    del full
    gc.collect()
    assert later == []


def test_equal_records_give_equal_files(tmp_path):
    assert write(tmp_path / "a").sha256 == write(tmp_path / "other name").sha256


def test_tensorflow_and_beam_read_it(tmp_path):
    import apache_beam as beam
    import tensorflow as tf
    from apache_beam.testing.util import assert_that, equal_to

    path = tmp_path / "a.tfrecord.gz"
    write(path)
    dataset = tf.data.TFRecordDataset(str(path), compression_type="GZIP")
    assert [record.numpy() for record in dataset] == RECORDS
    with beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner") as p:
        assert_that(p | beam.io.ReadFromTFRecord(str(path)), equal_to(RECORDS))


def test_a_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "a.tfrecord.gz"
    write(path, [b"hello"])
    plain = bytearray(gzip.decompress(path.read_bytes()))
    plain[13] ^= 1
    path.write_bytes(gzip.compress(bytes(plain)))
    with pytest.raises(ValueError, match=f"{path} is damaged: corrupted record at 12"):
        list(tfrecord.read(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: whole[:-9], "Compressed file ended before"),
        (lambda whole: b"\x00" + whole[1:], "Not a gzipped file"),
        (lambda whole: whole[:12] + b"\xff" + whole[13:], "invalid"),
        (lambda whole: gzip.compress(gzip.decompress(whole)[:14]), "truncated record at 0"),
    ],
)
def test_a_file_that_is_cut_or_no_gzip_is_named(tmp_path, change, message):
    path = tmp_path / "a.tfrecord.gz"
    write(path, [b"hello"])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{path} is damaged: .*{message}"):
        list(tfrecord.read(path))
