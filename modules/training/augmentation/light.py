"""What light and camera do: focus, exposure, colour, vignette, curve, noise; what hides a part."""

import numpy as np
import tensorflow as tf

from modules.training.augmentation.background import places
from modules.training.augmentation.draws import Draws
from modules.training.recipe import Augmentation

_SHARPENED = 0.2  # share of the images at full strength
_OFTEN = 0.7
_GRAINS = 1 << 20
_GRAIN_SEED = 0


def relit(images: tf.Tensor, config: Augmentation, draws: Draws) -> tf.Tensor:
    """Takes each image again with another camera in another light.

    Args:
        images: float32 [batch, 3, size, size] in [0, 1].
        config: the ranges.
        draws: where the numbers come from.

    Returns:
        float32 [batch, 3, size, size] in [0, 1].
    """
    x, y = places(tf.shape(images)[2])
    images = _colored(_focused(images, config, draws), config, draws)

    square = (x - draws.uniform(-0.6, 0.6)) ** 2 + (y - draws.uniform(-0.6, 0.6)) ** 2
    darker = draws.uniform(0.0, config.vignette) * draws.coin(_OFTEN)
    light = 1 - darker * tf.minimum(square / 2, 1.0)
    light *= 1 + x * draws.spread(config.slope) + y * draws.spread(config.slope)
    images = tf.clip_by_value(images * light, 0.0, 1.0) + 1e-4
    # A power so takes a quarter of the time of one by `**`.
    images = tf.exp(tf.math.log(images) * tf.exp(draws.spread(config.gamma)))

    negative = draws.coin(config.invert)
    half = draws.uniform(0.1, 0.35)
    off_x, off_y = x - draws.uniform(-1.0, 1.0), y - draws.uniform(-1.0, 1.0)
    is_hidden = tf.cast((tf.abs(off_x) < half) & (tf.abs(off_y) < half), tf.float32)
    is_hidden *= draws.coin(config.erase)
    shown, tone = 1 - is_hidden, draws.uniform(0.0, 1.0)
    images = images * (shown * (1 - 2 * negative)) + (shown * negative + is_hidden * tone)
    images += _grain(images, draws) * tf.abs(draws.spread(config.noise))
    return tf.clip_by_value(images, 0.0, 1.0)


def _colored(images: tf.Tensor, config: Augmentation, draws: Draws) -> tf.Tensor:
    """Contrast, brightness, white balance, saturation and swapped colours: one linear map each."""
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    contrast = 1 + draws.spread(config.contrast)
    factor = (1 + draws.spread(config.brightness)) * (1 + draws.spread(config.white_balance, 3))
    color = (1 + draws.spread(config.saturation)) * (1 - draws.coin(config.grey))
    is_swapped = draws.coin(config.swap_colors)

    one = tf.eye(3)
    about_grey = color[:, 0] * one + (1 - color[:, 0]) / 3
    swapped = is_swapped[:, 0] * one[::-1] + (1 - is_swapped[:, 0]) * one
    mixed = tf.matmul(swapped, about_grey) * (contrast * factor)[:, tf.newaxis, :, 0, 0]
    batch, size = tf.shape(images)[0], tf.shape(images)[2]
    flat = tf.matmul(mixed, tf.reshape(images, [batch, 3, size * size]))
    # What contrast leaves of the mean goes the same way as the images.
    added = tf.reduce_sum(mixed, axis=2)[:, :, tf.newaxis] * (mean * (1 / contrast - 1))[:, 0]
    return tf.reshape(flat + added, [batch, 3, size, size])


def _focused(images: tf.Tensor, config: Augmentation, draws: Draws) -> tf.Tensor:
    """Blurs some of the images and sharpens others; the rest is not worked on."""
    out_of_focus = draws.coin(config.blur) * draws.uniform(0.0, 1.0)
    sharpened = draws.coin(_SHARPENED * config.blur) * draws.uniform(0.3, 1.5)
    some = tf.where((out_of_focus + sharpened)[:, 0, 0, 0] > 0)
    chosen, out_of_focus, sharpened = (
        tf.gather_nd(each, some) for each in (images, out_of_focus, sharpened)
    )
    blurred = _blurred(chosen)
    twice = _blurred(blurred)
    changed = chosen + out_of_focus * (twice - chosen) + sharpened * (chosen - blurred)
    return tf.tensor_scatter_nd_update(images, some, changed)


def _blurred(images: tf.Tensor) -> tf.Tensor:
    """By a binomial filter of three by three: a blur of about 0.7 pixels."""
    rows = tf.pad(images, [[0, 0], [0, 0], [1, 1], [0, 0]], "SYMMETRIC")
    images = (rows[:, :, :-2] + rows[:, :, 2:]) * 0.25 + images * 0.5
    columns = tf.pad(images, [[0, 0], [0, 0], [0, 0], [1, 1]], "SYMMETRIC")
    return (columns[..., :-2] + columns[..., 2:]) * 0.25 + images * 0.5


def _grain(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Of mean 0 and deviation 1: each row of each image is one of a thousand that were drawn once.

    Drawing each pixel's takes as long as all other changes of an image together.
    """
    channels, size = tf.shape(images)[1], tf.shape(images)[2]
    count = _GRAINS // size
    grains = tf.constant(np.random.default_rng(_GRAIN_SEED).standard_normal(_GRAINS, np.float32))
    rows = tf.reshape(grains[: count * size], [count, size])
    return tf.gather(rows, draws.integers([channels, size], count))
