"""The training input: TFRecords of examples in, augmented batches out.

TFRecord files -> parse -> Transform's graph -> (in memory) -> shuffle -> batch -> augment

In memory a batch is a pure function of the seed and the step: which images, in which order,
changed how. So a training can be repeated, and taken up again at any step.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from modules import features
from modules.augmentation import augment
from modules.recipe import Recipe

# Prepared images are kept in memory up to this size; beyond it they are prepared anew each epoch.
MEMORY_LIMIT_BYTES = 1 << 30
_DECODE_BATCH = 128  # images
_SHUFFLE_BUFFER = 4096  # images, where they are streamed


def read_prepared(
    file_patterns: Sequence[str], transform: keras.Layer, feature_spec: dict
) -> tf.data.Dataset:
    """Reads examples and applies Transform's graph.

    Args:
        file_patterns: patterns of gzipped TFRecord files of tf.train.Examples.
        transform: what `TFTransformOutput.transform_features_layer()` returned.
        feature_spec: what `TFTransformOutput.raw_feature_spec()` returned.

    Returns:
        Batches of (float32 [batch, size, size, 3] in [0, 1], int64 [batch]).
    """
    files = sorted(path for pattern in file_patterns for path in tf.io.gfile.glob(pattern))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")

    def prepare(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        prepared = transform(tf.io.parse_example(batch, feature_spec))
        return prepared[features.PIXELS], prepared[features.LABEL]

    return records.batch(_DECODE_BATCH).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)


def training_batches(
    prepared: tf.data.Dataset, count: int, recipe: Recipe, image_size: int, classes: int
) -> tf.data.Dataset:
    """All batches of a training, epoch after epoch.

    Args:
        prepared: what `read_prepared` returned.
        count: number of images in `prepared`.
        recipe: batch size, number and sizes of the epochs, augmentation and seed.
        image_size: pixels a side of the prepared images.
        classes: number of classes.

    Returns:
        `recipe.epochs * steps_per_epoch(count, recipe)` batches of (float32
        [batch_size, size, size, 3] in [0, 1], with the size of the epoch; one-hot float32
        [batch_size, classes]).
    """
    steps = steps_per_epoch(count, recipe)
    sizes = tf.constant(recipe.size_of_epochs(image_size), tf.int32)
    if count * image_size**2 * 3 * 4 <= MEMORY_LIMIT_BYTES:
        batches = _from_memory(prepared, count, steps, recipe)
    else:
        batches = _streamed(prepared, count, steps, recipe)

    def finish(
        step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images = augment(
            images,
            recipe.augmentation,
            size=sizes[step // steps],
            seed=tf.stack([recipe.seed, tf.cast(step, tf.int32)]),
        )
        # The size stays open: one trace of the training step then serves all of them, where each
        # trace of ResNet50 takes half a minute on two cores.
        images = tf.ensure_shape(images, [_batch_size(count, recipe), None, None, 3])
        return images, tf.one_hot(labels, classes)

    return batches.map(finish, num_parallel_calls=2).prefetch(2)


def steps_per_epoch(count: int, recipe: Recipe) -> int:
    """Whole batches in an epoch, at least one; the images left over differ from epoch to epoch."""
    return count // _batch_size(count, recipe)


def _batch_size(count: int, recipe: Recipe) -> int:
    return min(recipe.batch_size, count)


def _from_memory(
    prepared: tf.data.Dataset, count: int, steps: int, recipe: Recipe
) -> tf.data.Dataset:
    batch = _batch_size(count, recipe)
    parts = list(prepared.as_numpy_iterator())
    pixels = tf.constant(np.concatenate([pixels for pixels, _ in parts]))
    labels = tf.constant(np.concatenate([labels for _, labels in parts]))

    def take(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        epoch, place = step // steps, step % steps
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), seed=tf.stack([tf.cast(recipe.seed, tf.int64), epoch])
        )
        chosen = tf.gather(order, place * batch + tf.range(batch, dtype=tf.int64))
        return step, tf.gather(pixels, chosen), tf.gather(labels, chosen)

    return tf.data.Dataset.range(recipe.epochs * steps).map(take)


def _streamed(prepared: tf.data.Dataset, count: int, steps: int, recipe: Recipe) -> tf.data.Dataset:
    images = (
        prepared.unbatch()
        .shuffle(_SHUFFLE_BUFFER, seed=recipe.seed)
        .repeat()
        .batch(_batch_size(count, recipe), drop_remainder=True)
    )
    steps_of_all = tf.data.Dataset.range(recipe.epochs * steps)
    return tf.data.Dataset.zip(steps_of_all, images).map(
        lambda step, batch: (step, batch[0], batch[1])
    )
