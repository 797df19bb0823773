"""AdamW in one kernel a weight: Keras's update, quicker to trace and to run.

Keras updates each weight by a dozen elementary operations, each a pass over weight and moments.
TensorFlow has one kernel for it; what ResNet50 and its moments take, 280 MB, is then read once.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf


class FusedAdamW(keras.optimizers.Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2) on kernels alone.

    Decay shrinks what a batch norm undoes or a bias cannot use (He et al. 2018, section 3.1): a
    weight with one axis is left alone.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        kernel_decay: float,
    ) -> None:
        """Constructs the optimizer.

        Args:
            learning_rate: a rate or a schedule.
            kernel_decay: a step shrinks a kernel by this times the learning rate.
        """
        super().__init__(learning_rate, name="adamw")
        self.kernel_decay = kernel_decay

    def apply(
        self,
        grads: Sequence[tf.Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Updates all weights, in place, by their gradients."""
        # Once for all weights, of which ResNet50 has 214.
        step = tf.cast(self.iterations + 1, tf.float32)
        self._beta_1_power, self._beta_2_power = self.beta_1**step, self.beta_2**step
        super().apply(grads, trainable_variables)

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one weight, in place, by its gradient."""
        rate = tf.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        if self.kernel_decay and len(variable.shape) > 1:
            # The product takes the weight's place: nothing is read or written a second time.
            variable.assign(variable * (1 - rate * self.kernel_decay))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self._beta_1_power,
            beta2_power=self._beta_2_power,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )

    def get_config(self) -> dict:
        """The options, as the constructor takes them."""
        return {
            "learning_rate": super().get_config()["learning_rate"],
            "kernel_decay": self.kernel_decay,
        }
