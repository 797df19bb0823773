"""What light and camera do: focus, exposure, colour, vignette, curve, noise; what hides a part."""

import numpy as np
import tensorflow as tf

from modules.training.augmentation.background import places
from modules.training.augmentation.draws import Draws
from modules.training.recipe import Augmentation

_SHARPENED = 0.2  # share of the images at full strength
_OFTEN = 0.7
_BINOMIAL = np.array([1, 2, 1], np.float32) / 4  # a blur of about 0.7 pixels


def relit(images: tf.Tensor, config: Augmentation, draws: Draws) -> tf.Tensor:
    """Takes each image again with another camera in another light.

    Args:
        images: float32 [batch, size, size, 3] in [0, 1].
        config: the ranges.
        draws: where the numbers come from.

    Returns:
        float32 [batch, size, size, 3] in [0, 1].
    """
    x, y = places(tf.shape(images)[1])
    images = _focused(images, config, draws)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    images = mean + (images - mean) * (1 + draws.spread(config.contrast))
    images *= (1 + draws.spread(config.brightness)) * (1 + draws.spread(config.white_balance, 3))

    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    color = (1 + draws.spread(config.saturation)) * (1 - draws.coin(config.grey))
    images = grey + (images - grey) * color
    images = _chosen(draws.coin(config.swap_colors), tf.reverse(images, [3]), images)

    square = (x - draws.uniform(-0.6, 0.6)) ** 2 + (y - draws.uniform(-0.6, 0.6)) ** 2
    darker = draws.uniform(0.0, config.vignette) * draws.coin(_OFTEN)
    images *= 1 - darker * tf.minimum(square / 2, 1.0)
    images *= 1 + x * draws.spread(config.slope) + y * draws.spread(config.slope)
    images = (tf.clip_by_value(images, 0.0, 1.0) + 1e-4) ** tf.exp(draws.spread(config.gamma))
    images = _chosen(draws.coin(config.invert), 1 - images, images)

    half = draws.uniform(0.1, 0.35)
    off_x, off_y = x - draws.uniform(-1.0, 1.0), y - draws.uniform(-1.0, 1.0)
    is_hidden = tf.cast((tf.abs(off_x) < half) & (tf.abs(off_y) < half), tf.float32)
    is_hidden *= draws.coin(config.erase)
    images = _chosen(is_hidden, draws.uniform(0.0, 1.0), images)
    images += draws.normal([*tf.unstack(tf.shape(images)[1:3]), 3]) * tf.abs(
        draws.spread(config.noise)
    )
    return tf.clip_by_value(images, 0.0, 1.0)


def _focused(images: tf.Tensor, config: Augmentation, draws: Draws) -> tf.Tensor:
    """Blurs some of the images and sharpens others."""
    blurred = _blurred(images)
    twice = _blurred(blurred)
    out_of_focus = draws.coin(config.blur) * draws.uniform(0.0, 1.0)
    sharpened = draws.coin(_SHARPENED * config.blur) * draws.uniform(0.3, 1.5)
    return images + out_of_focus * (twice - images) + sharpened * (images - blurred)


def _blurred(images: tf.Tensor) -> tf.Tensor:
    kernel = tf.tile(np.outer(_BINOMIAL, _BINOMIAL)[:, :, None, None], [1, 1, 3, 1])
    edged = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    return tf.nn.depthwise_conv2d(edged, kernel, [1, 1, 1, 1], "VALID")


def _chosen(share: tf.Tensor, one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return one * share + other * (1 - share)
