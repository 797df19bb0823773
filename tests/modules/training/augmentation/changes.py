"""One kind of change alone, to see what it does."""

import numpy as np
import tensorflow as tf

from modules.training.augmentation import augment
from modules.training.recipe import Augmentation

OFF = Augmentation(**{name: type(value)(0) for name, value in vars(Augmentation()).items()})
COUNT = 64


def noise(count: int = 4, side: int = 16, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Images of independent pixels, float32 [count, side, side, 3]."""
    drawn = np.random.default_rng(0).uniform(low, high, (count, side, side, 3))
    return drawn.astype(np.float32)


def changed(
    images: np.ndarray,
    size: int | None = None,
    seed: int = 7,
    cover: np.ndarray | float = 1.0,
    at: float = 1.0,
    **ranges: float,
) -> np.ndarray:
    """`images`, float32 [n, h, w, 3], with these changes alone, at a strength."""
    size = images.shape[1] if size is None else size
    covers = np.broadcast_to(np.float32(cover), (*images.shape[:3], 1))
    return augment(
        np.concatenate([images, covers], -1),
        Augmentation(**{**vars(OFF), **ranges}),
        size=tf.constant(size),
        seed=tf.constant([seed, 1]),
        strength=at,
    ).numpy()
