"""Other weights of the same training: averaged over steps, and with recalibrated batch norms.

A training is judged with its own last weights and with these, so that nothing else differs: weights
averaged along the way (Polyak and Juditsky 1992), batch norms' statistics among them, and
statistics taken anew from the images without augmentation (Wu and Johnson 2021, section 3).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_BATCH_SIZE = 32


class Averaged(keras.callbacks.Callback):
    """Keeps an exponential moving average of a network's weights, step by step."""

    def __init__(self, network: keras.Model, momentum: float = 0.99) -> None:
        """Constructs.

        Args:
            network: whose weights the training changes.
            momentum: what a step leaves of the average: 0.99 reaches over some hundred steps.
        """
        super().__init__()
        self._weights = network.weights
        self._averages = [tf.Variable(weight, trainable=False) for weight in self._weights]
        self._momentum = momentum

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the step's weights."""
        self._add()

    @tf.function
    def _add(self) -> None:
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign_add((1 - self._momentum) * (weight.value - average))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the averages within, and its own weights after."""
        with _restored(self._weights):
            for weight, average in zip(self._weights, self._averages, strict=True):
                weight.assign(average)
            yield


@contextmanager
def recalibrated(network: keras.Model, pixels: np.ndarray) -> Iterator[None]:
    """Within, batch norms have the mean of the statistics of these images' batches.

    Args:
        network: changed in place, and restored after.
        pixels: float32 [n, size, size, 3] in [0, 1].
    """
    norms = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
    momentum = [norm.momentum for norm in norms]
    with _restored(network.weights):
        order = np.random.default_rng(0).permutation(len(pixels))
        batches = np.array_split(order, max(1, len(order) // _BATCH_SIZE))
        for number, batch in enumerate(batches):
            for norm in norms:
                norm.momentum = number / (number + 1)
            network(pixels[batch], training=True)
        for norm, before in zip(norms, momentum, strict=True):
            norm.momentum = before
        yield


@contextmanager
def _restored(weights: list[keras.Variable]) -> Iterator[None]:
    before = [weight.numpy() for weight in weights]
    try:
        yield
    finally:
        for weight, value in zip(weights, before, strict=True):
            weight.assign(value)
