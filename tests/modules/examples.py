"""Images and the tf.train.Examples that hold them, for the tests of `modules`."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image


def noise(count: int, side: int = 16) -> list[np.ndarray]:
    """Noisy images, uint8 [side, side, 3], every one different."""
    return list(np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def example(image: bytes, label: int = 0) -> bytes:
    """One serialized tf.train.Example as `data` writes it."""
    strings = {"image": image, "class_name": b"%d" % label, "source_id": b"one", "split": b"train"}
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in strings.items()
    }
    feature["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def write_examples(path: Path, examples: Sequence[bytes]) -> None:
    """Writes a gzipped TFRecord file; not compressed, so that as many bytes make as long a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = tf.io.TFRecordOptions("GZIP", compression_level=0)
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for serialized in examples:
            writer.write(serialized)
