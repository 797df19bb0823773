"""The training input: TFRecords of examples in, augmented batches out.

in memory:  records -> decoded as uint8, kept -> shuffle -> batch \
streamed:   records -> shuffle -> batch -> decoded as uint8        +-> drawings beside -> augment

What an epoch holds is a function of the seed and the epoch's number: which images, in which order,
changed how. So a training can be repeated, and taken up again at any epoch, without those before.

Images are kept, and brought to a GPU, as uint8: a quarter of float32's bytes. Those that Transform
has resized are rounded to it, by 0.002 at most.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from modules.machines.workers import ALONE, Workers
from modules.training.augmentation import augment
from modules.training.bounds import (
    CHANNELS,
    MEMORY_LIMIT_BYTES,
    SHUFFLE_BYTES,
    WAITING,
    batches_at_a_time,
    in_memory,
)
from modules.training.drawings import Drawings, beside
from modules.training.errors import TrainingError
from modules.training.images import Images
from modules.training.recipe import Augmentation, Recipe

_PRIME = 1_000_003


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
        at_a_time: batches that the CPU finishes together.
    """

    chosen: Callable[[int], tf.data.Dataset]
    finish: Callable[[tf.Tensor, tf.Tensor, tf.Tensor, Workers], tuple[tf.Tensor, tf.Tensor]]
    workers: Workers = ALONE
    at_a_time: int = 1

    def __call__(self, epoch: int) -> tf.data.Dataset:
        """The finished batches from the start of an epoch on, finished by the CPU."""
        finished = self.chosen(epoch).map(
            lambda images, labels, step: self.finish(images, labels, step, self.workers),
            num_parallel_calls=self.at_a_time,
        )
        return finished.prefetch(WAITING)


def training_batches(
    images: Images,
    count: int,
    recipe: Recipe,
    image_size: int,
    classes: int,
    workers: Workers = ALONE,
    drawn: Drawings | None = None,
) -> Batches:
    """All batches of a training, `steps_per_epoch(count, recipe, workers)` an epoch.

    Args:
        images: what `read_images` returned.
        count: number of images.
        recipe: batch size, number and sizes of the epochs, augmentation and seed.
        image_size: pixels a side of the prepared images.
        classes: number of classes.
        workers: who else trains. Together they have the batches that one alone would have with a
            `batch_size` so many times as large; each prepares its own part.
        drawn: what is trained on beside the images.
    """
    steps = steps_per_epoch(count, recipe, workers)
    sizes = recipe.size_of_epochs(image_size)

    def finish(
        pixels: tf.Tensor, labels: tf.Tensor, step: tf.Tensor, part: Workers
    ) -> tuple[tf.Tensor, tf.Tensor]:
        count, step = pixels.shape[0], step[0]
        pixels = augment(
            tf.image.convert_image_dtype(pixels, tf.float32),
            recipe.augmentation,
            size=tf.constant(sizes)[step // steps],
            seed=tf.stack([recipe.seed, tf.cast(step, tf.int32)]),
            strength=_strength(recipe.augmentation, step, recipe.epochs * steps),
            workers=part,
        )
        # The size stays open: one trace of the training step then serves all of them, where each
        # trace of ResNet50 takes half a minute on two cores.
        pixels = tf.ensure_shape(pixels, [count, None, None, 3])
        shows_none = tf.cast(labels == classes, tf.float32)[:, tf.newaxis]
        return pixels, tf.one_hot(labels, classes) + shows_none / classes

    keep = in_memory(count, image_size, MEMORY_LIMIT_BYTES)
    choose = _from_memory if keep else _streamed
    chosen = choose(images, image_size, count, recipe, workers)
    batch = share_of_batch(count, recipe, workers)
    if drawn:
        batch += drawn.in_step
        chosen = beside(chosen, share_of_batch(count, recipe, workers), drawn, recipe.seed, workers)
    return Batches(chosen, finish, workers, batches_at_a_time(batch, image_size))


def _strength(augmentation: Augmentation, step: tf.Tensor, steps: int) -> tf.Tensor | float:
    """How strong the changes are at a step, float32 scalar: they grow, and calm down.

    Where there are none at all, it is a number.
    """
    if augmentation.strength == 0:
        return 0.0
    ramp = max(1.0, augmentation.ramp * steps)
    step = tf.cast(step, tf.float32)
    calming = 1 - augmentation.calm * tf.maximum(step - (steps - ramp), 0.0) / ramp
    return augmentation.strength * tf.minimum(step / ramp, calming)


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
    images: Images, size: int, count: int, recipe: Recipe, workers: Workers
) -> Callable[[int], tf.data.Dataset]:
    share, steps = share_of_batch(count, recipe, workers), steps_per_epoch(count, recipe, workers)
    pixels, labels = _kept(images, size, count)

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        """Which images this worker has in each step of an epoch, with the step's number."""
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), seed=_seed_of(recipe, epoch)
        )
        order = tf.reshape(order[: steps * workers.count * share], [steps, workers.count, share])
        step = epoch * steps + tf.range(steps, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices((order[:, workers.index], step))

    def take(chosen: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        found = tf.numpy_function(lambda places: pixels[places], [chosen], tf.uint8)
        found = tf.ensure_shape(found, [share, *pixels.shape[1:]])
        return found, tf.gather(labels, chosen), tf.fill([share], step)

    def from_epoch(epoch: int) -> tf.data.Dataset:
        return tf.data.Dataset.range(epoch, recipe.epochs).flat_map(of_epoch).map(take)

    return from_epoch


def _kept(images: Images, size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """All of them: uint8 [count, size, size, 4] and int64 [count], once and not as a tensor.

    Making a tensor of an array takes twice its memory more.
    """
    pixels = np.empty((count, size, size, CHANNELS), np.uint8)
    labels = np.empty(count, np.int64)
    end = 0
    for part, its_labels in images.stored(size).as_numpy_iterator():
        begin, end = end, end + len(part)
        pixels[begin:end], labels[begin:end] = part, its_labels
    if end != count:
        raise TrainingError(f"there are {end} images where {count} were counted")
    return pixels, labels


def _streamed(
    images: Images, size: int, count: int, recipe: Recipe, workers: Workers
) -> Callable[[int], tf.data.Dataset]:
    share, steps = share_of_batch(count, recipe, workers), steps_per_epoch(count, recipe, workers)
    buffer = min(count, max(share, SHUFFLE_BYTES // images.bytes_each))
    at_a_time = batches_at_a_time(share, size)

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        """This worker's batches of an epoch, encoded, with the numbers of their steps."""
        # Of this graph alone. `shuffle` mixes it in; where it is 0, as the training's own may be,
        # that takes no seed that is a tensor.
        tf.random.set_seed(_PRIME)
        seed = _seed_of(recipe, epoch)
        encoded = images.read(seed).shuffle(buffer, seed[0] + seed[1] * _PRIME)
        batches = encoded.batch(share, drop_remainder=True).take(steps * workers.count)
        step = tf.data.Dataset.range(epoch * steps, (epoch + 1) * steps)
        return tf.data.Dataset.zip(step, batches.shard(workers.count, workers.index))

    def prepare(step: tf.Tensor, batch: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        parts = batch if isinstance(batch, tuple) else (batch,)
        return *images.store(size, *parts), tf.fill([share], step)

    def from_epoch(epoch: int) -> tf.data.Dataset:
        chosen = tf.data.Dataset.range(epoch, recipe.epochs).flat_map(of_epoch)
        return chosen.map(prepare, num_parallel_calls=at_a_time)

    return from_epoch


def _seed_of(recipe: Recipe, epoch: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.cast(recipe.seed, tf.int64), epoch])
