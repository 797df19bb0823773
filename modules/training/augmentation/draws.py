"""Random numbers for the images of a batch."""

import tensorflow as tf

from modules.machines.workers import Workers


class Draws:
    """Draws numbers for each image, of what the images of all workers get.

    Every call draws anew, and its place among the calls decides what: the same code with the same
    seed draws the same.
    """

    def __init__(self, seed: tf.Tensor, count: tf.Tensor, workers: Workers) -> None:
        """Begins with a seed, int32 [2]; `count` images are here, and with each other worker."""
        self.count = count
        self.strength: tf.Tensor | float = 1.0  # a number, or float32 [count, 1, 1, 1]
        self._seed, self._workers = seed, workers
        self._calls = 0

    def uniform(self, low: float, high: float, channels: int = 1) -> tf.Tensor:
        """Returns float32 [count, channels, 1, 1] in [low, high), whatever the strength."""
        shape = [self._all, channels, 1, 1]
        return self._mine(tf.random.stateless_uniform(shape, self._next(), low, high))

    def spread(self, most: float, channels: int = 1) -> tf.Tensor:
        """Returns float32 [count, channels, 1, 1] in [-most, most), times the strength."""
        return self.uniform(-most, most, channels) * self.strength

    def coin(self, probability: float) -> tf.Tensor:
        """Returns float32 [count, 1, 1, 1]: 1 with this probability times the strength, else 0."""
        return tf.cast(self.uniform(0.0, 1.0) < probability * self.strength, tf.float32)

    def normal(self, shape: list) -> tf.Tensor:
        """Returns float32 [count, *shape], of mean 0 and deviation 1."""
        return self._mine(tf.random.stateless_normal([self._all, *shape], self._next()))

    def integers(self, shape: list, most: tf.Tensor) -> tf.Tensor:
        """Returns int32 [count, *shape] in [0, most)."""
        drawn = tf.random.stateless_uniform(
            [self._all, *shape], self._next(), 0, most, dtype=tf.int32
        )
        return self._mine(drawn)

    @property
    def _all(self) -> tf.Tensor:
        return self.count * self._workers.count

    def _mine(self, drawn: tf.Tensor) -> tf.Tensor:
        start = self._workers.index * self.count
        return drawn[start : start + self.count]

    def _next(self) -> tf.Tensor:
        self._calls += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._calls)
