"""What a trained network sees in a picture: the numbers that its last layer judges by.

assets.extra/trained.keras of an exported model -> Embedding -> one picture -> float32 [2048]
"""

import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from modules.copies import TRAINED_MODEL
from modules.preprocessing import prepare_images
from signs.errors import UserError


class EmbeddingError(UserError):
    """There is no network to look through."""


class Embedding:
    """A trained network without its last layer."""

    def __init__(self, model_dir: str | os.PathLike[str]) -> None:
        """Loads the network.

        Args:
            model_dir: A model that `modules.copies.export_copies` wrote, such as a pushed version.

        Raises:
            EmbeddingError: There is none, or it cannot be read.
        """
        path = Path(model_dir, TRAINED_MODEL)
        if not path.is_file():
            raise EmbeddingError(
                f"{model_dir} has no {TRAINED_MODEL}: name a version that a run pushed, such as "
                "workspace/serving/signs/1"
            )
        try:
            network = keras.models.load_model(path, compile=False)
        except (OSError, ValueError, KeyError) as err:
            raise EmbeddingError(f"{path} cannot be read: {err}") from err
        trunk = keras.Model(network.inputs, network.layers[-1].input)
        self.size = int(trunk.output_shape[-1])
        side = int(network.input_shape[1])

        @tf.function(input_signature=[tf.TensorSpec([1], tf.string)])
        def seen(image: tf.Tensor) -> tf.Tensor:
            return trunk(prepare_images(image, side), training=False)

        self._seen = seen

    def __call__(self, image: bytes) -> np.ndarray:
        """Returns what the network sees: float32 [size].

        Raises:
            OSError: The image does not decode.
        """
        try:
            return self._seen(tf.constant([image]))[0].numpy()
        except tf.errors.InvalidArgumentError as err:
            raise OSError(f"no picture: {err.message}") from err
