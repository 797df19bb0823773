"""What is behind: a photograph's own plain wall gives way to another one."""

import numpy as np
import tensorflow as tf
from PIL import Image

from modules.training.augmentation.draws import Draws
from modules.training.recipe import Augmentation

_FRAME = 3  # pixels: the width of the frame in which the wall is looked for
_PLAIN = 0.1  # a wall's spread of colour, as a share of how far the rest differs from it
_LEAST = 0.05  # how far, as a sum of shares of red, green and blue, something differs from a wall
_OFTEN, _SHADOWED = 0.7, 0.6
_SMOOTH = Image.Resampling.BILINEAR
_SMALL = 64  # pixels a side: enough to tell a hand from a wall
_AT_A_TIME = 16  # images: what is computed of them stays near the processor


def matte(images: np.ndarray) -> np.ndarray:
    """Finds what stands before a plain wall by its colour, whatever its shadow.

    Args:
        images: uint8 [n, height, width, 3].

    Returns:
        uint8 [n, height, width, 1], 255 where a pixel is covered by what the image shows. All of
        an image whose frame is not of one colour is covered. Of a large image it is found on one of
        64 to 127 pixels a side.
    """
    size = images.shape[1:3]
    step = max(1, min(size) // _SMALL)
    cover = np.empty((len(images), *size, 1), np.uint8)
    for begin in range(0, len(images), _AT_A_TIME):
        found = _matte(images[begin : begin + _AT_A_TIME, ::step, ::step])
        for place, one in enumerate(found, begin):
            large = one if step == 1 else Image.fromarray(one).resize(size[::-1], _SMOOTH)
            cover[place, ..., 0] = large
    return cover


def _matte(images: np.ndarray) -> np.ndarray:
    # Plane by plane: what is done to three numbers at a time takes twice as long. In place: memory
    # that is asked for takes as long as what is done in it.
    planes = images.transpose(3, 0, 1, 2).astype(np.float32, order="C")
    planes *= 1 / (_sum(planes) + 30)  # a shadow changes the sum; 30: noise in the dark
    edges = (planes[:, :, :_FRAME], planes[..., :_FRAME], planes[..., -_FRAME:])
    frame = np.concatenate([edge.reshape(*planes.shape[:2], -1) for edge in edges], axis=2)
    wall = _quantile(frame, 0.5)
    spread = _quantile(_sum(np.abs(frame - wall)), 0.5)
    planes -= wall[..., np.newaxis]
    away = _sum(np.abs(planes, out=planes))
    most = _quantile(away.reshape(len(away), -1), 0.92)
    cover = away * (4 / np.maximum(most, 0.02))[..., np.newaxis]
    cover -= 1.2
    cover.clip(0, 1, out=cover)
    around = _with_neighbours(_with_neighbours(cover, 1), 2)  # of each pixel nine
    around *= 2 / 9
    around -= 0.5
    cover += around.clip(0, 1, out=around)
    cover[((most < _LEAST) | (spread > _PLAIN * most))[:, 0]] = 2
    cover *= 255 / 2
    return np.rint(cover, out=cover).astype(np.uint8)


def _sum(planes: np.ndarray) -> np.ndarray:
    return planes[0] + planes[1] + planes[2]


def _quantile(values: np.ndarray, share: float) -> np.ndarray:
    """As `np.quantile` of the last axis, which stays, in a third of its time."""
    place = share * (values.shape[-1] - 1)
    above = int(place) + 1
    parted = np.partition(values, above)  # for two places at once it takes five times as long
    low, high = parted[..., :above].max(-1, keepdims=True), parted[..., above : above + 1]
    return low + (high - low) * np.float32(place + 1 - above)


def with_cover(images: np.ndarray) -> np.ndarray:
    """Adds what `matte` finds: float32 [n, height, width, 3] in [0, 1] becomes [n, ..., 4]."""
    cover = matte(np.round(images * 255).astype(np.uint8))
    return np.concatenate([images, cover / np.float32(255)], axis=-1)


def _with_neighbours(maps: np.ndarray, axis: int) -> np.ndarray:
    """Adds the pixels before and behind; beyond an edge lies the edge once more."""
    total = maps.copy()
    to, of = np.moveaxis(total, axis, 0), np.moveaxis(maps, axis, 0)
    to[1:] += of[:-1]
    to[:1] += of[:1]
    to[:-1] += of[1:]
    to[-1:] += of[-1:]
    return total


def replaced(pixels: tf.Tensor, cover: tf.Tensor, config: Augmentation, draws: Draws) -> tf.Tensor:
    """Puts another wall behind some of the images, with a shadow on it.

    Args:
        pixels: float32 [batch, 3, size, size] in [0, 1].
        cover: float32 [batch, 1, size, size] in [0, 1].
        config: the ranges.
        draws: where the numbers come from.

    Returns:
        float32 [batch, 3, size, size] in [0, 1].
    """
    # All are drawn for, so that an image's numbers do not hang on which others get a wall.
    wall = draws.uniform(0.05, 1.0) + draws.uniform(-0.15, 0.15, 3)
    stains = [  # mostly faint, now and then strong
        (draws.normal([3, cells, cells]) * 0.5 + draws.normal([1, cells, cells]))
        * (draws.uniform(0.0, 1.0) ** power * most)
        for cells, most, power in ((4, 0.35, 3), (12, 0.3, 4))
    ]
    slope_x, slope_y = draws.uniform(-0.15, 0.15), draws.uniform(-0.15, 0.15)
    shadow = draws.uniform(0.0, _SHADOWED) * draws.coin(_OFTEN)
    factor = (1 + draws.spread(config.white_balance, 3)) * (1 + draws.spread(0.3))
    some = tf.where(draws.coin(config.background)[:, 0, 0, 0] > 0)
    chosen, cover, wall, slope_x, slope_y, shadow, factor, *stains = (
        tf.gather_nd(each, some)
        for each in (pixels, cover, wall, slope_x, slope_y, shadow, factor, *stains)
    )
    size = tf.shape(pixels)[2]
    for each in stains:
        wall += _resized(each, size)
    x, y = places(size)
    wall += x * slope_x + y * slope_y
    wall *= 1 - _resized(_resized(cover, size // 4, "area"), size) * shadow
    other = chosen * factor * cover + wall * (1 - cover)
    return tf.tensor_scatter_nd_update(pixels, some, tf.clip_by_value(other, 0.0, 1.0))


def places(size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where pixels are, from -1 to 1: x float32 [1, 1, 1, size], y float32 [1, 1, size, 1]."""
    line = tf.linspace(-1.0, 1.0, size)
    return line[tf.newaxis, tf.newaxis, tf.newaxis], line[tf.newaxis, tf.newaxis, :, tf.newaxis]


def _resized(maps: tf.Tensor, size: tf.Tensor, method: str = "bilinear") -> tf.Tensor:
    """float32 [batch, channels, side, side] becomes [batch, channels, size, size]."""
    last = tf.image.resize(tf.transpose(maps, [0, 2, 3, 1]), [size, size], method)
    return tf.transpose(last, [0, 3, 1, 2])
