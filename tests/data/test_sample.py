import pytest

from data.sample import Sample

SAMPLE = Sample(b"\xff\0", 3, "größer als", "a/ü.jpg", "train")


def test_round_trip():
    assert Sample.parse(SAMPLE.serialize()) == SAMPLE


def test_tensorflow_reads_the_same():
    tf = pytest.importorskip("tensorflow")
    example = tf.train.Example.FromString(SAMPLE.serialize())
    feature = example.features.feature
    assert set(feature) == {"image", "label", "class_name", "source_id", "split"}
    assert feature["image"].bytes_list.value == [b"\xff\0"]
    assert feature["label"].int64_list.value == [3]
    assert feature["class_name"].bytes_list.value == ["größer als".encode()]
    assert feature["split"].bytes_list.value == [b"train"]
    assert Sample.parse(example.SerializeToString()) == SAMPLE


def test_label_0_is_written():
    zero = Sample(b"x", 0, "a", "b", "eval")
    assert Sample.parse(zero.serialize()).label == 0
