"""Exported models as small as they can be: what they answer with is the names of their classes."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf


class _Named(tf.Module):
    def __init__(self, class_names: Sequence[str]) -> None:
        super().__init__()
        self.weight = tf.Variable(1.0)
        self._names = tf.constant(list(class_names))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
    def names(self, labels: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._names, labels)


def save_model(folder: Path, class_names: Sequence[str]) -> Path:
    """Writes a SavedModel of these classes, and returns its folder."""
    tf.saved_model.save(_Named(class_names), str(folder))
    return folder
