"""A model whose training step finishes its batches: images come to a GPU as uint8.

Batches.chosen -> to the GPU -> Batches.finish -> the network
"""

from typing import Any

import keras
import tensorflow as tf

from modules.machines.workers import Workers
from modules.training.input import Batches


class FinishingModel(keras.Model):
    """A model that can be trained on what `Batches.chosen` gives."""

    batches: Batches | None = None  # None: the batches that `fit` is given are finished

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras's, on batches that are finished first, where there are some to finish."""
        if self.batches:
            context = tf.distribute.get_replica_context()
            # A replica has its part of a batch as a worker has.
            part = Workers(
                ("replica",) * context.num_replicas_in_sync,
                int(tf.get_static_value(context.replica_id_in_sync_group)),
            )
            images, labels, step = data
            data = self.batches.finish(images, labels, step, part)
        return super().train_step(data)
