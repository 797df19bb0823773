"""Encoded images in, bytes of pixels out, for training: RGB, and what stands before a plain wall.

JPEGs that have their size already -> simplejpeg, one after the other -+-> `matte`
all others -> TensorFlow's graph, as for evaluation and serving       -+

Of a small image TensorFlow's operations take three times as long as its decoding. Both have the
same library within, and give the same pixels.
"""

import contextlib
import threading
from functools import partial

import numpy as np
import simplejpeg
import tensorflow as tf

from modules.preprocessing import stored_image
from modules.training.augmentation import matte
from modules.training.bounds import CHANNELS

_RGB = CHANNELS - 1
_COLORS = ("YCbCr", "Gray")  # those that both decoders turn into RGB
# Of smaller images threads would spend a quarter of their time on handing Python to each other, and
# be done no sooner.
_SMALL = 128  # pixels a side
_ONE_BATCH = threading.Lock()


def decoded(images: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes and resizes a batch, rounded to bytes: what `prepare_images` gives, times 255.

    It does not look for what would take too much.

    Args:
        images: string [batch], each a JPEG, PNG, BMP or GIF (of which the first frame counts).
        size: pixels a side of the result.

    Returns:
        uint8 [batch, size, size, 4], the last what is covered by what the image shows.

    Raises:
        tf.errors.InvalidArgumentError: in the graph, for bytes that are no image.
    """
    pixels, is_left = tf.numpy_function(partial(_jpegs, size), [images], (tf.uint8, tf.bool))
    is_left = tf.ensure_shape(is_left, images.shape)

    def completed() -> tf.Tensor:
        left = tf.where(is_left)
        others = tf.map_fn(
            lambda image: stored_image(image, size),
            tf.gather_nd(images, left),
            parallel_iterations=1,  # a batch has a core; large pictures wait for each other
            fn_output_signature=tf.TensorSpec([size, size, _RGB], tf.uint8),
        )
        others = with_cover(others)
        return tf.cond(
            tf.reduce_all(is_left),
            lambda: others,
            lambda: tf.tensor_scatter_nd_update(pixels, left, others),
        )

    pixels = tf.cond(tf.reduce_any(is_left), completed, lambda: pixels)
    return tf.ensure_shape(pixels, [*images.shape, size, size, CHANNELS])


def with_cover(rgb: tf.Tensor) -> tf.Tensor:
    """Adds what stands before a plain wall: uint8 [..., 3] becomes uint8 [..., 4]."""
    covered = tf.numpy_function(_covered, [rgb], tf.uint8)
    return tf.ensure_shape(covered, [*rgb.shape[:-1], CHANNELS])


def _covered(rgb: np.ndarray) -> np.ndarray:
    pixels = np.empty((*rgb.shape[:-1], CHANNELS), np.uint8)
    for channel in range(_RGB):  # all three at once take three times as long
        pixels[..., channel] = rgb[..., channel]
    pixels[..., _RGB:] = matte(rgb)
    return pixels


def _jpegs(size: int, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decodes those that need no more than that; says of each whether it is left.

    Returns:
        uint8 [batch, size, size, 4], or [0, size, size, 4] where all are left; bool [batch].
    """
    pixels = np.zeros((len(images), size, size, CHANNELS), np.uint8)
    is_left = np.ones(len(images), bool)
    with _ONE_BATCH if size < _SMALL else contextlib.nullcontext():
        for place, image in enumerate(images):
            try:
                height, width, color, _ = simplejpeg.decode_jpeg_header(image, strict=False)
                if height == width == size and color in _COLORS:
                    simplejpeg.decode_jpeg(image, "RGBA", buffer=pixels[place])
                    is_left[place] = False
            except (ValueError, KeyError):  # no JPEG, or one with something odd about it
                continue
        if is_left.all():
            return pixels[:0], is_left
        done = ~is_left if is_left.any() else slice(None)  # a slice copies nothing
        pixels[done, ..., _RGB:] = matte(pixels[done, ..., :_RGB])
    return pixels, is_left
