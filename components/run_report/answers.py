"""What models say of single pictures, and where in a picture the network has looked.

The heat is that of LayerCAM (Jiang et al. 2021): a class's gradient at each place of a map, where
it is positive, times the map. It may be taken from any map. The network's last is 2 x 2 for a
picture of 64 pixels, too coarse to show anything: so it is the deepest that has at least seven
cells a side, if there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from signs import features

if TYPE_CHECKING:
    import keras

_BATCH = 32
_CELLS = 7  # a side: as many as the last map of a ResNet50 for 224 pixels


@dataclass(frozen=True)
class Said:
    """Of n images.

    Attributes:
        class_names: The answers.
        confidence: float32 [n] in [0, 1].
        known: bool [n]; None where the model does not tell it.
    """

    class_names: list[str]
    confidence: np.ndarray
    known: np.ndarray | None


def ask(model: Path, images: Sequence[bytes]) -> Said:
    """What an exported model answers.

    Args:
        model: folder of a SavedModel of `modules.signatures.export`.
        images: encoded images, at least one.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(model))
    answer = loaded.signatures[features.SERVE_IMAGES]
    parts = []
    for first in range(0, len(images), _BATCH):
        found = answer(tf.constant(images[first : first + _BATCH]))
        parts.append({key: value.numpy() for key, value in found.items()})
    whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    # Models of earlier releases do not tell how sure they are.
    sure = whole.get(features.CONFIDENCE, whole[features.PROBABILITIES].max(axis=1))
    names = [name.decode() for name in whole[features.PREDICTED_CLASS_NAME]]
    return Said(names, sure, whole.get(features.KNOWN))


def heat(model: Path, transform_graph: Path, images: Sequence[bytes]) -> np.ndarray:
    """Where the network has found what it answers.

    Args:
        model: folder of the candidate's SavedModel, which has the trained network beside it.
        transform_graph: Transform's output.
        images: encoded images, at least one.

    Returns:
        float32 [n, cells, cells] in [0, 1].
    """
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from modules.copies import TRAINED_MODEL

    transform = tft.TFTransformOutput(str(transform_graph)).transform_features_layer()
    prepared = transform(
        {
            features.IMAGE: tf.constant(images)[:, tf.newaxis],
            features.LABEL: tf.zeros([len(images), 1], tf.int64),
        }
    )
    network = keras.models.load_model(model / TRAINED_MODEL, compile=False)
    head = network.layers[-1]
    inner = keras.Model(network.inputs, [_map_to_look_at(network).output, head.input])
    with tf.GradientTape() as tape:
        pixels = prepared[features.PIXELS]
        tape.watch(pixels)
        found, last = inner(pixels, training=False)
        logits = tf.matmul(last, head.kernel) + head.bias
        score = tf.reduce_sum(tf.reduce_max(logits, axis=1))
    slopes = tape.gradient(score, found)
    maps = tf.nn.relu(tf.reduce_sum(tf.nn.relu(slopes) * found, axis=-1)).numpy()
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)


def _map_to_look_at(network: "keras.Model") -> "keras.Layer":
    maps = [
        layer
        for layer in network.layers
        if layer.__class__.__name__ == "Activation" and len(layer.output.shape) == 4
    ]
    fine = [layer for layer in maps if min(layer.output.shape[1:3]) >= _CELLS]
    return fine[-1] if fine else maps[0]
