"""Images that a network of one block learns to tell apart: dark noise and bright noise."""

import contextlib
from collections.abc import Iterator
from unittest import mock

import numpy as np
import tensorflow as tf

from modules import calibration
from modules.machines.workers import ALONE, Workers
from modules.training import input as training_input
from modules.training.augmentation.draws import Draws
from modules.training.recipe import Augmentation

SIDE = 16
SMALL = {
    **{"blocks": (1,), "width": 4, "batch_size": 8, "sizes": ((1.0, 1.0),), "warmup": 0.1},
    "augmentation": Augmentation(strength=0.3).keeping_colors(),
}


def pictures(count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Dark noise (class 0) and bright noise (class 1), by turns: uint8 and int64."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 100, (count, SIDE, SIDE, 3)) + 150 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels


def prepared(count: int = 32) -> tf.data.Dataset:
    pixels, labels = pictures(count)
    return tf.data.Dataset.from_tensor_slices((pixels.astype(np.float32) / 255, labels)).batch(8)


def _relit(
    images: tf.Tensor,
    config: Augmentation,
    *,
    size: tf.Tensor,
    seed: tf.Tensor,
    strength: tf.Tensor | float = 1.0,
    workers: Workers = ALONE,
) -> tf.Tensor:
    draws = Draws(seed, tf.shape(images)[0], workers)
    draws.strength = strength
    light = 1 + draws.spread(0.2 * bool(config.strength))
    return tf.image.resize(images[..., :3], [size, size]) * light


@contextlib.contextmanager
def quick_changes() -> Iterator[None]:
    """Has a training change nothing of its images but size and brightness, anew in each step.

    The graph of all changes takes seconds to build, and so do the pictures that it is calibrated
    on; test_input.py, test_calibration.py and the runs of whole pipelines have them.
    """
    with (
        mock.patch.object(training_input, "augment", _relit),
        mock.patch.object(calibration, "augment", _relit),
    ):
        yield
