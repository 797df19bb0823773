"""Images as they are stored: encoded until they are needed, in an order that is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from modules.preprocessing import CHANNELS
from modules.training.decoding import decoded, with_cover
from signs import features

_DECODE_BATCH = 128  # images
# Decoded images, as float32, that are in memory while a part of them is prepared.
_DECODED_BYTES = 64 << 20
_READ_AT_A_TIME = 8  # files, which decides the order
_CHANNELS_BYTES = CHANNELS * 4


@dataclass(frozen=True)
class Images:
    """Where images come from.

    Attributes:
        read: a function from a seed, int64 [2], to the encoded images, one element each; the same
            seed gives the same order. Without one they come as they are stored.
        prepare: a function from a batch of elements to (float32 [batch, size, size, 3] in [0, 1],
            int64 [batch] labels).
        store: a function from a size and a batch of elements to the same for training: (uint8
            [batch, size, size, 4], RGB and cover; int64 [batch] labels).
        bytes_each: memory of an element, roughly.
    """

    read: Callable[[tf.Tensor | None], tf.data.Dataset]
    prepare: Callable[..., tuple[tf.Tensor, tf.Tensor]]
    store: Callable[..., tuple[tf.Tensor, tf.Tensor]]
    bytes_each: int = 1

    @classmethod
    def prepared(cls, batches: tf.data.Dataset) -> "Images":
        """Images that are prepared already: (float32 [batch, size, size, 3], int64 [batch])."""
        return cls(
            lambda seed: batches.unbatch(),
            lambda pixels, labels: (pixels, labels),
            # TensorFlow's own conversion does not round to the nearest.
            lambda size, pixels, labels: (
                with_cover(tf.cast(tf.round(pixels * 255), tf.uint8)),
                labels,
            ),
        )

    def batches(self, count: int | None = None, size: int = features.IMAGE_SIZE) -> tf.data.Dataset:
        """Prepared batches, in the order in which the images are stored.

        Args:
            count: number of images, where it is known: Keras warns of data that end unannounced.
            size: pixels a side, which decides how many are prepared at a time.
        """
        at_a_time = _at_a_time(size)
        batches = self.read(None).batch(at_a_time).map(self.prepare, tf.data.AUTOTUNE)
        if count is not None:
            batches = batches.apply(tf.data.experimental.assert_cardinality(-(-count // at_a_time)))
        return batches

    def stored(self, size: int) -> tf.data.Dataset:
        """The same batches as bytes, for training: see `store`."""
        batches = self.read(None).batch(_at_a_time(size))
        return batches.map(lambda *batch: self.store(size, *batch), tf.data.AUTOTUNE)


def read_images(
    file_patterns: Sequence[str], transform: keras.Layer, feature_spec: dict[str, Any], count: int
) -> Images:
    """Images of examples, prepared by Transform's graph.

    Args:
        file_patterns: patterns of gzipped TFRecord files of tf.train.Examples.
        transform: what `TFTransformOutput.transform_features_layer()` returned.
        feature_spec: what `TFTransformOutput.raw_feature_spec()` returned.
        count: number of images.
    """
    files = sorted(path for pattern in file_patterns for path in tf.io.gfile.glob(pattern))

    def records(path: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(path, compression_type="GZIP")

    def read(seed: tf.Tensor | None) -> tf.data.Dataset:
        if seed is None:
            return records(files)
        order = tf.random.experimental.stateless_shuffle(tf.constant(files), seed=seed)
        # Several readers, whose number does not change the order.
        return tf.data.Dataset.from_tensor_slices(order).interleave(
            records,
            cycle_length=_READ_AT_A_TIME,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def prepare(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        prepared = transform(tf.io.parse_example(batch, feature_spec))
        return prepared[features.PIXELS], prepared[features.LABEL]

    needed = {name: feature_spec[name] for name in (features.IMAGE, features.LABEL)}

    def store(size: int, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(batch, needed)
        pixels = decoded(tf.reshape(parsed[features.IMAGE], [-1]), size)
        return pixels, tf.reshape(parsed[features.LABEL], [-1])

    size = sum(tf.io.gfile.stat(path).length for path in files)
    return Images(read, prepare, store, bytes_each=max(1, size // max(1, count)))


def _at_a_time(size: int) -> int:
    return min(_DECODE_BATCH, max(1, _DECODED_BYTES // (size**2 * _CHANNELS_BYTES)))
