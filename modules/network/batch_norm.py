"""Batch normalization in one kernel: what a training puts in the place of Keras's own layer.

Keras normalizes a batch by a dozen elementary operations, each a pass over the whole map.
TensorFlow has one kernel for it, oneDNN's on a CPU and cuDNN's on a GPU.

No network that is saved has this layer: whoever loads one needs Keras alone.
"""

import keras
import tensorflow as tf


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer (Ioffe and Szegedy 2015), its training in TensorFlow's fused kernel.

    Maps float32, bfloat16 or float16 [batch, height, width, channels] to the same. Weights, their
    names, and what is computed are those of Keras's own layer. With `synchronized` the statistics
    are those of all replicas' images, which must be as many on each.
    """

    @classmethod
    def over(cls, layer: keras.layers.BatchNormalization) -> "FusedBatchNormalization":
        """The same layer, fused, over the same weights: what one learns, the other knows.

        Args:
            layer: Keras's own, built, its axis the last.
        """
        fused = cls.from_config(layer.get_config())
        fused.gamma, fused.beta = layer.gamma, layer.beta
        fused.moving_mean, fused.moving_variance = layer.moving_mean, layer.moving_variance
        fused.built = True  # it makes no weights of its own
        return fused

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Normalizes by the batch's own mean and variance in training, else by the moving ones."""
        if not training or not self.trainable:
            return super().call(inputs, training=training, mask=mask)
        if self.synchronized:
            return self._call_together(inputs)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )[:3]
        # The kernel's variance is that of a sample, n / (n - 1) of the batch's own.
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], variance.dtype)
        self._move(mean, variance * ((count - 1) / count))
        return outputs

    def _call_together(self, inputs: tf.Tensor) -> tf.Tensor:
        # Keras takes the variance as the mean of squares less the square of the mean, which loses
        # digits where the mean is large, and Adam makes much of them.
        x = tf.cast(inputs, tf.float32)
        mean = _mean_of_all(x)
        variance = _mean_of_all(tf.math.squared_difference(x, mean))
        self._move(mean, variance)
        outputs = tf.nn.batch_normalization(
            x, mean, variance, self.beta.value, self.gamma.value, self.epsilon
        )
        return tf.cast(outputs, inputs.dtype)

    def _move(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))


def _mean_of_all(x: tf.Tensor) -> tf.Tensor:
    """The mean of each channel over the images of all replicas."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.reduce_mean(x, axis=(0, 1, 2)))
