"""The training input: TFRecords of examples in, augmented batches out.

TFRecord files -> parse -> Transform's graph -> uint8 (in memory) -> shuffle -> batch, with drawings
beside it -> augment

What an epoch holds is a function of the seed and the epoch's number: which images, in which order,
changed how. So a training can be repeated, and taken up again at any epoch.

Images are kept, and brought to a GPU, as uint8: a quarter of float32's bytes. Those that Transform
has resized are rounded to it, by 0.002 at most.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from modules.machines.workers import ALONE, Workers
from modules.training.augmentation import augment, matte
from modules.training.drawings import Drawings, beside
from modules.training.errors import TrainingError
from modules.training.recipe import Augmentation, Recipe
from signs import features

# Prepared images are kept in memory up to this size; beyond it they are prepared anew each epoch.
MEMORY_LIMIT_BYTES = 1 << 30
_DECODE_BATCH = 128  # images
_SHUFFLE_BUFFER = 4096  # images, where they are streamed


@dataclass(frozen=True)
class Batches:
    """All batches of a training, epoch after epoch.

    Attributes:
        chosen: a function from the number of an epoch, in [0, `recipe.epochs`], to the images of
            the batches from its start to the training's end: (uint8 [batch, side, side, 4], RGB
            and cover; int64 [batch] labels, the number of classes for what shows none; int64
            [batch], all of them the number of the step in the training).
        finish: a function from these, and from which part of a batch they are, to (float32 [batch,
            size, size, 3] in [0, 1], with the size of the epoch; float32 [batch, classes], one-hot,
            or 1 / classes for what shows none of them).
        workers: which part of each batch `chosen` has.
    """

    chosen: Callable[[int], tf.data.Dataset]
    finish: Callable[[tf.Tensor, tf.Tensor, tf.Tensor, Workers], tuple[tf.Tensor, tf.Tensor]]
    workers: Workers = ALONE

    def __call__(self, epoch: int) -> tf.data.Dataset:
        """The finished batches from the start of an epoch on, finished by the CPU."""
        finished = self.chosen(epoch).map(
            lambda images, labels, step: self.finish(images, labels, step, self.workers),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return finished.prefetch(2)


def read_prepared(
    file_patterns: Sequence[str],
    transform: keras.Layer,
    feature_spec: dict,
    count: int | None = None,
) -> tf.data.Dataset:
    """Reads examples and applies Transform's graph.

    Args:
        file_patterns: patterns of gzipped TFRecord files of tf.train.Examples.
        transform: what `TFTransformOutput.transform_features_layer()` returned.
        feature_spec: what `TFTransformOutput.raw_feature_spec()` returned.
        count: number of examples, where it is known: Keras warns of data that end unannounced.

    Returns:
        Batches of (float32 [batch, size, size, 3] in [0, 1], int64 [batch]).
    """
    files = sorted(path for pattern in file_patterns for path in tf.io.gfile.glob(pattern))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")

    def prepare(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        prepared = transform(tf.io.parse_example(batch, feature_spec))
        return prepared[features.PIXELS], prepared[features.LABEL]

    batches = records.batch(_DECODE_BATCH).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    if count is not None:
        cardinality = tf.data.experimental.assert_cardinality(-(-count // _DECODE_BATCH))
        batches = batches.apply(cardinality)
    return batches


def training_batches(
    prepared: tf.data.Dataset,
    count: int,
    recipe: Recipe,
    image_size: int,
    classes: int,
    workers: Workers = ALONE,
    drawn: Drawings | None = None,
) -> Batches:
    """All batches of a training, `steps_per_epoch(count, recipe, workers)` an epoch.

    Args:
        prepared: what `read_prepared` returned.
        count: number of images in `prepared`.
        recipe: batch size, number and sizes of the epochs, augmentation and seed.
        image_size: pixels a side of the prepared images.
        classes: number of classes.
        workers: who else trains. Together they have the batches that one alone would have with a
            `batch_size` so many times as large; each prepares its own part.
        drawn: what is trained on beside the images.
    """
    steps = steps_per_epoch(count, recipe, workers)
    sizes = recipe.size_of_epochs(image_size)
    in_memory = count * image_size**2 * 4 <= MEMORY_LIMIT_BYTES

    def finish(
        images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor, part: Workers
    ) -> tuple[tf.Tensor, tf.Tensor]:
        count, step = images.shape[0], step[0]
        images = augment(
            tf.image.convert_image_dtype(images, tf.float32),
            recipe.augmentation,
            size=tf.constant(sizes)[step // steps],
            seed=tf.stack([recipe.seed, tf.cast(step, tf.int32)]),
            strength=_strength(recipe.augmentation, step, recipe.epochs * steps),
            workers=part,
        )
        # The size stays open: one trace of the training step then serves all of them, where each
        # trace of ResNet50 takes half a minute on two cores.
        images = tf.ensure_shape(images, [count, None, None, 3])
        shows_none = tf.cast(labels == classes, tf.float32)[:, tf.newaxis]
        return images, tf.one_hot(labels, classes) + shows_none / classes

    choose = _from_memory if in_memory else _streamed
    chosen = choose(prepared.map(_with_cover), count, recipe, workers)
    if drawn:
        chosen = beside(chosen, share_of_batch(count, recipe, workers), drawn, recipe.seed, workers)
    return Batches(chosen, finish, workers)


def _strength(augmentation: Augmentation, step: tf.Tensor, steps: int) -> tf.Tensor:
    """How strong the changes are at a step, float32 scalar: they grow, and calm down."""
    ramp = max(1.0, augmentation.ramp * steps)
    step = tf.cast(step, tf.float32)
    calming = 1 - augmentation.calm * tf.maximum(step - (steps - ramp), 0.0) / ramp
    return augmentation.strength * tf.minimum(step / ramp, calming)


def _with_cover(pixels: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Images as uint8 [batch, height, width, 4], the last what stands before a plain wall."""
    # TensorFlow's own conversion does not round to the nearest.
    rgb = tf.cast(tf.round(pixels * 255), tf.uint8)
    cover = tf.ensure_shape(tf.numpy_function(matte, [rgb], tf.uint8), [*rgb.shape[:3], 1])
    return tf.concat([rgb, cover], axis=-1), labels


def steps_per_epoch(count: int, recipe: Recipe, workers: Workers = ALONE) -> int:
    """Whole batches in an epoch, at least one; the images left over differ from epoch to epoch."""
    return count // (share_of_batch(count, recipe, workers) * workers.count)


def share_of_batch(count: int, recipe: Recipe, workers: Workers = ALONE) -> int:
    """Images that each worker has of a batch.

    Raises:
        TrainingError: there are fewer images than workers.
    """
    if count < workers.count:
        raise TrainingError(f"there are fewer images ({count}) than workers ({workers.count})")
    return min(recipe.batch_size, count // workers.count)


def _from_memory(
    images: tf.data.Dataset, count: int, recipe: Recipe, workers: Workers
) -> Callable[[int], tf.data.Dataset]:
    share, steps = share_of_batch(count, recipe, workers), steps_per_epoch(count, recipe, workers)
    parts = list(images.as_numpy_iterator())
    pixels = tf.constant(np.concatenate([pixels for pixels, _ in parts]))
    labels = tf.constant(np.concatenate([labels for _, labels in parts]))

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        """Which images this worker has in each step of an epoch, with the step's number."""
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), seed=tf.stack([tf.cast(recipe.seed, tf.int64), epoch])
        )
        order = tf.reshape(order[: steps * workers.count * share], [steps, workers.count, share])
        step = epoch * steps + tf.range(steps, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices((order[:, workers.index], step))

    def take(chosen: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return tf.gather(pixels, chosen), tf.gather(labels, chosen), tf.fill([share], step)

    def from_epoch(epoch: int) -> tf.data.Dataset:
        return tf.data.Dataset.range(epoch, recipe.epochs).flat_map(of_epoch).map(take)

    return from_epoch


def _streamed(
    images: tf.data.Dataset, count: int, recipe: Recipe, workers: Workers
) -> Callable[[int], tf.data.Dataset]:
    share, steps = share_of_batch(count, recipe, workers), steps_per_epoch(count, recipe, workers)

    def from_epoch(epoch: int) -> tf.data.Dataset:
        # A new data set each time: the shuffle of one that was read before goes on from there.
        batches = (
            images.unbatch()
            .shuffle(_SHUFFLE_BUFFER, seed=recipe.seed)
            .repeat()
            .batch(share, drop_remainder=True)
            .shard(workers.count, workers.index)
        )
        numbered = tf.data.Dataset.zip(tf.data.Dataset.range(recipe.epochs * steps), batches)
        # The epochs before are read once more: that takes a small part of the time that they took,
        # and the order is what it would have been.
        return numbered.skip(epoch * steps).map(
            lambda step, chosen: (*chosen, tf.fill([share], step))
        )

    return from_epoch
