"""Where a pixel goes: turned, zoomed, stretched, slanted, tilted, shifted, mirrored, resized."""

import math

import tensorflow as tf

from modules.training.augmentation.draws import Draws
from modules.training.recipe import Augmentation

_ANY_DEGREES = 90.0


def moved(images: tf.Tensor, config: Augmentation, size: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Resamples each image once, by one projective transform.

    What lies beyond an edge repeats the edge: an arm that leaves the picture goes on.

    Args:
        images: float32 [batch, height, width, channels].
        config: the ranges.
        size: int32 scalar, pixels a side of the result.
        draws: where the numbers come from.

    Returns:
        float32 [batch, size, size, channels].
    """
    side, target = tf.cast(tf.shape(images)[1], tf.float32), tf.cast(size, tf.float32)

    def spread(most: float) -> tf.Tensor:
        return draws.spread(most)[:, 0, 0, 0]

    anyhow = draws.coin(config.any_rotation)[:, 0, 0, 0]
    degrees = spread(1.0) * (config.rotation_degrees * (1 - anyhow) + _ANY_DEGREES * anyhow)
    angle = degrees * (math.pi / 180)
    zoom = tf.exp(spread(math.log1p(config.scale)))
    aspect = tf.exp(spread(config.aspect / 2))
    slant = spread(config.slant)
    shift_x, shift_y = spread(config.shift) * side, spread(config.shift) * side
    tilt_x, tilt_y = spread(config.tilt) / target, spread(config.tilt) / target
    mirror = 1 - 2 * draws.coin(0.5 * config.mirror)[:, 0, 0, 0]

    # The transform maps a point of the result to a point of the image, both measured from their
    # centres: to the image's scale, then mirror, aspect, slant, rotation, zoom, tilt and shift.
    scale = zoom * side / target
    across, down = mirror * aspect * scale, scale / aspect
    cos, sin = tf.cos(angle), tf.sin(angle)
    a0, a1 = cos * across, (cos * slant - sin) * down
    b0, b1 = sin * across, (sin * slant + cos) * down
    centre_in, centre_out = (side - 1) / 2, (target - 1) / 2
    weight = 1 - (tilt_x + tilt_y) * centre_out
    to_x, to_y = centre_in + shift_x, centre_in + shift_y
    transform = [
        a0 + to_x * tilt_x,
        a1 + to_x * tilt_y,
        to_x * weight - (a0 + a1) * centre_out,
        b0 + to_y * tilt_x,
        b1 + to_y * tilt_y,
        to_y * weight - (b0 + b1) * centre_out,
        tilt_x,
        tilt_y,
    ]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(transform, axis=1) / weight[:, tf.newaxis],
        output_shape=tf.stack([size, size]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
