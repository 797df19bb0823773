"""Random changes to a batch of training images: what people, rooms and cameras change.

RGB and cover -> `geometry`: one resampling -> `background`: other walls -> `light`: other cameras

Used in the training input only, never in Transform: evaluation and serving see images as they are.
All randomness is stateless: the same seed gives the same batch, so a training can be repeated.
"""

import tensorflow as tf

from modules.machines.workers import ALONE, Workers
from modules.training.augmentation.background import matte, replaced, with_cover
from modules.training.augmentation.draws import Draws
from modules.training.augmentation.geometry import moved
from modules.training.augmentation.light import relit
from modules.training.recipe import Augmentation

__all__ = ["augment", "matte", "with_cover"]


def augment(
    images: tf.Tensor,
    config: Augmentation,
    *,
    size: tf.Tensor,
    seed: tf.Tensor,
    strength: tf.Tensor | float = 1.0,
    workers: Workers = ALONE,
) -> tf.Tensor:
    """Moves, resizes and relights a batch, and puts other walls behind what it shows.

    Args:
        images: float32 [batch, height, width, 4] in [0, 1]: RGB, and how much of a pixel is
            covered by what the image shows (see `matte`).
        config: the ranges.
        size: int32 scalar, pixels a side of the result.
        seed: int32 [2].
        strength: float32 scalar in [0, 1], by which all ranges and probabilities are multiplied. A
            number that is 0 resizes and does nothing else.
        workers: who else has a part of the batch, as large as this one. An image is changed in the
            same way whoever has it.

    Returns:
        float32 [batch, size, size, 3] in [0, 1].
    """
    if isinstance(strength, float) and strength == 0:  # the graph of all changes takes seconds
        return tf.image.resize(images[..., :3], [size, size])
    draws = Draws(seed, tf.shape(images)[0], workers)
    draws.strength = strength * (1 - config.variety * draws.uniform(0.0, 1.0))
    # Channel by channel, maps and factors are spread over whole planes, in a third of the time.
    planes = tf.transpose(moved(images, config, size, draws), [0, 3, 1, 2])
    pixels = replaced(planes[:, :3], planes[:, 3:], config, draws)
    return tf.transpose(relit(pixels, config, draws), [0, 2, 3, 1])
