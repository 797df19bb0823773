import gzip
import hashlib

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
    with pytest.raises(ValueError, match="a record differs from its checksum"):
        list(tfrecord.read(path))
    path.write_bytes(gzip.compress(bytes(plain[:7])))
    with pytest.raises(ValueError, match="the length of a record is wrong"):
        list(tfrecord.read(path))
