"""Random changes to a batch of training images: one resampling, then light.

Used in the training input only, never in Transform: evaluation and serving see images as they are.
All randomness is stateless: the same seed gives the same batch, so a training can be repeated.
"""

import math

import tensorflow as tf

from modules.machines.workers import ALONE, Workers
from modules.training.recipe import Augmentation


def augment(
    images: tf.Tensor,
    config: Augmentation,
    *,
    size: tf.Tensor,
    seed: tf.Tensor,
    workers: Workers = ALONE,
) -> tf.Tensor:
    """Rotates, zooms, shifts, mirrors, resizes and relights a batch.

    Rotation, zoom, shift, mirror and the resize to `size` are one projective transform, so that an
    image is resampled once. What lies beyond an edge is a reflection of the image.

    Args:
        images: float32 [batch, height, width, 3] in [0, 1].
        config: the ranges.
        size: int32 scalar, pixels a side of the result.
        seed: int32 [2].
        workers: who else has a part of the batch, as large as this one. An image is changed in the
            same way whoever has it.

    Returns:
        float32 [batch, size, size, 3] in [0, 1].
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
    images = _affine(images, config, size, seeds[0], seeds[1], workers)
    count = tf.shape(images)[0]

    def factors(spread: float, seed: tf.Tensor) -> tf.Tensor:
        drawn = _uniform([1, count], seed, 1 - spread, 1 + spread, workers)
        return tf.reshape(drawn, [count, 1, 1, 1])

    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    images = mean + (images - mean) * factors(config.contrast, seeds[2])
    images = images * factors(config.brightness, seeds[3])
    return tf.clip_by_value(images, 0.0, 1.0)


def _affine(
    images: tf.Tensor,
    config: Augmentation,
    size: tf.Tensor,
    pose_seed: tf.Tensor,
    mirror_seed: tf.Tensor,
    workers: Workers,
) -> tf.Tensor:
    count = tf.shape(images)[0]
    side = tf.cast(tf.shape(images)[1], tf.float32)
    pose = _uniform([4, count], pose_seed, -1.0, 1.0, workers)
    angle = pose[0] * (config.rotation_degrees * math.pi / 180)
    zoom = 1 + pose[1] * config.scale
    shift_x, shift_y = pose[2] * config.shift * side, pose[3] * config.shift * side
    mirror = tf.ones([count])
    if config.mirror:
        coin = _uniform([1, count], mirror_seed, 0.0, 1.0, workers)[0]
        mirror = tf.where(coin < 0.5, -1.0, 1.0)

    # The transform maps a point of the result to a point of the image, both measured from their
    # centres: first to the image's scale, then mirror, rotation, zoom and shift.
    target = tf.cast(size, tf.float32)
    scale = side / target
    a0, a1 = tf.cos(angle) * mirror * zoom * scale, -tf.sin(angle) * zoom * scale
    b0, b1 = tf.sin(angle) * mirror * zoom * scale, tf.cos(angle) * zoom * scale
    centre_in, centre_out = (side - 1) / 2, (target - 1) / 2
    a2 = centre_in + shift_x - (a0 + a1) * centre_out
    b2 = centre_in + shift_y - (b0 + b1) * centre_out
    zeros = tf.zeros([count])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a0, a1, a2, b0, b1, b2, zeros, zeros], axis=1),
        output_shape=tf.stack([size, size]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _uniform(shape: list, seed: tf.Tensor, low: float, high: float, workers: Workers) -> tf.Tensor:
    """Random numbers in [low, high), float32 [numbers, images], of what all workers' images get."""
    numbers, count = shape
    drawn = tf.random.stateless_uniform([numbers, count * workers.count], seed, low, high)
    return drawn[:, workers.index * count : (workers.index + 1) * count]
