"""What is behind: a photograph's own plain wall gives way to another one."""

import numpy as np
import tensorflow as tf

from modules.training.augmentation.draws import Draws
from modules.training.recipe import Augmentation

_FRAME = 3  # pixels: the width of the frame in which the wall is looked for
_PLAIN = 0.1  # a wall's spread of colour, as a share of how far the rest differs from it
_LEAST = 0.05  # how far, as a sum of shares of red, green and blue, something differs from a wall
_OFTEN, _SHADOWED = 0.7, 0.6


def matte(images: np.ndarray) -> np.ndarray:
    """Finds what stands before a plain wall by its colour, whatever its shadow.

    Args:
        images: uint8 [n, height, width, 3].

    Returns:
        uint8 [n, height, width, 1], 255 where a pixel is covered by what the image shows. All of
        an image whose frame is not of one colour is covered.
    """
    color = images.astype(np.float32)
    color /= color.sum(3, keepdims=True) + 30  # a shadow changes the sum; 30: noise in the dark
    frame = np.concatenate(
        [
            part.reshape(len(images), -1, 3)
            for part in (color[:, :_FRAME], color[:, :, :_FRAME], color[:, :, -_FRAME:])
        ],
        axis=1,
    )
    wall = np.median(frame, 1, keepdims=True)
    spread = np.median(np.abs(frame - wall).sum(2), 1)
    away = np.abs(color - wall[:, np.newaxis]).sum(3)
    most = np.percentile(away, 92, axis=(1, 2))
    cover = ((away / np.maximum(most, 0.02)[:, None, None] - 0.3) / 0.25).clip(0, 1)
    cover = (cover + ((_mean(cover) - 0.25) / 0.5).clip(0, 1)) / 2
    cover[(most < _LEAST) | (spread > _PLAIN * most)] = 1
    return np.round(cover * 255).astype(np.uint8)[..., np.newaxis]


def with_cover(images: np.ndarray) -> np.ndarray:
    """Adds what `matte` finds: float32 [n, height, width, 3] in [0, 1] becomes [n, ..., 4]."""
    cover = matte(np.round(images * 255).astype(np.uint8))
    return np.concatenate([images, cover / np.float32(255)], axis=-1)


def _mean(maps: np.ndarray) -> np.ndarray:
    """The mean of each pixel and its eight neighbours."""
    rows = np.pad(maps, ((0, 0), (1, 1), (0, 0)), "edge")
    rows = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    columns = np.pad(rows, ((0, 0), (0, 0), (1, 1)), "edge")
    return (columns[..., :-2] + columns[..., 1:-1] + columns[..., 2:]) / 9


def replaced(pixels: tf.Tensor, cover: tf.Tensor, config: Augmentation, draws: Draws) -> tf.Tensor:
    """Puts another wall behind some of the images, with a shadow on it.

    Args:
        pixels: float32 [batch, size, size, 3] in [0, 1].
        cover: float32 [batch, size, size, 1] in [0, 1].
        config: the ranges.
        draws: where the numbers come from.

    Returns:
        float32 [batch, size, size, 3] in [0, 1].
    """
    size = tf.shape(pixels)[1]
    wall = draws.uniform(0.05, 1.0) + draws.uniform(-0.15, 0.15, 3)
    for cells, most, power in ((4, 0.35, 3), (12, 0.3, 4)):  # mostly faint, now and then strong
        stains = draws.normal([cells, cells, 3]) * 0.5 + draws.normal([cells, cells, 1])
        wall += tf.image.resize(stains, [size, size]) * (draws.uniform(0.0, 1.0) ** power * most)
    x, y = places(size)
    wall += x * draws.uniform(-0.15, 0.15) + y * draws.uniform(-0.15, 0.15)
    soft = tf.image.resize(tf.image.resize(cover, [size // 4, size // 4], "area"), [size, size])
    wall *= 1 - soft * draws.uniform(0.0, _SHADOWED) * draws.coin(_OFTEN)
    shown = pixels * (1 + draws.spread(config.white_balance, 3)) * (1 + draws.spread(0.3))
    other = shown * cover + wall * (1 - cover)
    is_replaced = draws.coin(config.background)
    return tf.clip_by_value(other * is_replaced + pixels * (1 - is_replaced), 0.0, 1.0)


def places(size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where pixels are, from -1 to 1: x float32 [1, 1, size, 1], y float32 [1, size, 1, 1]."""
    line = tf.linspace(-1.0, 1.0, size)
    return line[tf.newaxis, tf.newaxis, :, tf.newaxis], line[tf.newaxis, :, tf.newaxis, tf.newaxis]
