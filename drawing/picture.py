"""Skin and light over a hand's relief."""

import numpy as np
from PIL import Image

from drawing.pose import hand
from drawing.relief import Relief, relief
from signs.features import IMAGE_SIZE

_SUPERSAMPLING = 2  # `_halve` averages pairs
_STEEPEST = 2.2  # a step between two fingers is a crease, not a mirror
_SKIN = np.array(  # from light to dark, RGB in [0, 1]
    [
        (0.96, 0.82, 0.73),
        (0.90, 0.71, 0.58),
        (0.80, 0.60, 0.46),
        (0.62, 0.43, 0.32),
        (0.42, 0.28, 0.20),
    ]
)


def draw(seed: int, index: int, sign: int, size: int = IMAGE_SIZE) -> np.ndarray:
    """Draws one hand before a plain wall.

    Args:
        seed: any integer; another seed gives other drawings of the same kind.
        index: which drawing, from 0.
        sign: what it shows: one of SIGNS, or NO_SIGN.
        size: pixels a side.

    Returns:
        uint8 [size, size, 4]: RGB, and how much of a pixel the hand covers.
    """
    rng = np.random.default_rng([seed & (2**64 - 1), index])
    skin, cover, _ = draw_hand(rng, sign, size)
    wall = (rng.uniform(0.25, 0.95) + rng.uniform(-0.08, 0.08, 3)).astype(np.float32)
    picture = skin + wall * (1 - cover)
    return (np.concatenate([picture, cover], -1) * 255 + 0.5).clip(0, 255).astype(np.uint8)


def draw_hand(
    rng: np.random.Generator, sign: int, size: int = IMAGE_SIZE, turned: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws one hand before nothing.

    Args:
        rng: draws everything.
        sign: what the hand shows: one of SIGNS, or NO_SIGN.
        size: pixels a side.
        turned: how far hands are turned away from the camera, from 0.

    Returns:
        RGB times cover, float32 [size, size, 3] in about [0, 1]; cover, float32 [size, size, 1] in
        [0, 1]; and the unit vector to the light, float32 [3]: x to the right, y down, z to the
        camera.
    """
    seen = relief(rng, hand(rng, sign), size * _SUPERSAMPLING, turned)
    light = np.array([rng.uniform(-0.9, 0.9), rng.uniform(-1, 0.4), rng.uniform(0.6, 1.4)])
    light = (light / np.linalg.norm(light)).astype(np.float32)
    skin = _skin(rng, seen, light)
    return _halve(skin * seen.cover[..., None]), _halve(seen.cover)[..., None], light


def _skin(rng: np.random.Generator, seen: Relief, light: np.ndarray) -> np.ndarray:
    """Returns float32 [side, side, 3], about [0, 1]."""
    shade = _shade(rng, seen.height, light)[..., None]
    tone = rng.beta(1.6, 1.8) * (len(_SKIN) - 1)
    skin = np.array([np.interp(tone, range(len(_SKIN)), channel) for channel in _SKIN.T])
    skin = (skin * rng.uniform(0.92, 1.08, 3)).astype(np.float32)
    # Shadows on skin are red: blood scatters the light back.
    slope = np.array([0.86, 1.05, 1.1], np.float32)
    color = (skin * slope) * shade + skin * (1 - slope)
    color *= 1 + _stains(rng, len(color))
    if rng.random() < 0.3:
        sleeve = seen.along_arm > rng.uniform(0.05, 0.5)
        cloth = rng.uniform(0, 1, 3) * rng.uniform(0.3, 1)
        color[sleeve] = (cloth * shade)[sleeve]
    if rng.random() < 0.12:
        start = rng.uniform(0.02, 0.15)
        end = start + rng.uniform(0.02, 0.08)
        bracelet = (seen.along_arm > start) & (seen.along_arm < end)
        color[bracelet] = rng.uniform(0, 1, 3) * rng.uniform(0.1, 0.9)
    return color


def _shade(rng: np.random.Generator, height: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Lights the relief: float32 [side, side], 1 for skin that faces the light."""
    slope_y, slope_x = np.gradient(height)
    slope_x, slope_y = slope_x.clip(-_STEEPEST, _STEEPEST), slope_y.clip(-_STEEPEST, _STEEPEST)
    upright = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    x, y, z = light
    ambient = np.float32(rng.uniform(0.35, 0.7))
    shade = ambient + (np.float32(1.08) - ambient) * np.maximum(
        (z - slope_x * x - slope_y * y) * upright, 0
    )
    side = len(height)
    for cells, most in ((32, 0.9), (16, 0.6)):  # less light comes into valleys
        around = _resize(_resize(height, cells, Image.Resampling.BOX), side)
        depth = ((around - height) / np.float32(side * 0.08)).clip(0, 1)
        shade *= 1 - depth * np.float32(0.7 * rng.uniform(0.2, most))
    return shade * (1 - np.float32(rng.uniform(0, 0.45)) * (1 - upright))


def _stains(rng: np.random.Generator, side: int) -> np.ndarray:
    """Slow changes of the skin's colour: float32 [side, side, 3] about zero."""
    coarse = rng.normal(0, rng.uniform(0, 0.05), (6, 6, 3)).astype(np.float32)
    return np.stack([_resize(channel, side) for channel in np.moveaxis(coarse, -1, 0)], -1)


def _resize(
    picture: np.ndarray, side: int, how: Image.Resampling = Image.Resampling.BICUBIC
) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), how))


def _halve(picture: np.ndarray) -> np.ndarray:
    """Averages squares of 2 x 2 pixels."""
    rows = picture[0::2] + picture[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25)
