"""A hand before the camera: turned, placed, and seen as a height map."""

from dataclasses import dataclass

import numpy as np

from drawing.pose import ARM, Hand

_NOTHING = np.float32(-1e3)  # the height where there is no hand
_MARGIN = 0.12  # around the axes of a hand, in its units: about a finger's radius
_LEAST_EXTENT = 1.1  # a fist is not drawn as large as an open hand


@dataclass
class Relief:
    """What the camera sees, float32 [side, side] each.

    Attributes:
        height: towards the camera, in pixels; where there is no hand, the lowest of the hand.
        cover: how much of a pixel the hand covers, in [0, 1].
        along_arm: how far from the wrist a pixel of the forearm is, as a share of the side; else 0.
    """

    height: np.ndarray
    cover: np.ndarray
    along_arm: np.ndarray


def relief(rng: np.random.Generator, hand: Hand, side: int, turned: float = 1.0) -> Relief:
    """Turns a hand, puts it into a square picture and draws its tubes, the nearest on top.

    `turned` scales how far hands are turned away from the camera; at 0 all of them face it.
    """
    starts_ends = hand.ends @ _turn(rng, hand.is_ring, turned).T
    shown = starts_ends[hand.parts != ARM].reshape(-1, 3)[:, :2]
    low, high = shown.min(0) - _MARGIN, shown.max(0) + _MARGIN
    scale = side * rng.uniform(0.5, 0.88) / max(*(high - low), _LEAST_EXTENT)
    nearness = 1 + starts_ends[..., 2] * rng.uniform(0, 0.12)  # perspective
    mirror = np.array([rng.choice([-1.0, 1.0]), -1.0])
    places = (starts_ends[..., :2] - (low + high) / 2) * nearness[..., None] * mirror * scale
    places += side * (0.5 + rng.uniform(-0.09, 0.09, 2))
    radii = hand.radii * scale * nearness[:, :1]
    return _draw(
        places.astype(np.float32),
        (starts_ends[..., 2] * scale).astype(np.float32),
        radii.astype(np.float32),
        hand.parts == ARM,
        side,
    )


def _turn(rng: np.random.Generator, is_ring: bool, turned: float) -> np.ndarray:
    """How the hand is turned before the camera: float [3, 3]."""
    yaw, pitch = rng.normal(0, 22 * turned), rng.normal(4, 14 * turned)
    if rng.random() < 0.12 * turned:
        yaw += 180  # its back
    if is_ring:  # from the side, so that the hole is seen
        pitch -= 4
        yaw = rng.uniform(35, 95) * rng.choice([-1, 1], p=[0.75, 0.25])
        if rng.random() < 0.12 * turned:
            yaw = rng.uniform(-35, 35)
    roll = rng.normal(0, 18 * turned)
    (cx, cy, cz), (sx, sy, sz) = (f(np.radians([pitch, yaw, roll])) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def _draw(
    places: np.ndarray, heights: np.ndarray, radii: np.ndarray, is_arm: np.ndarray, side: int
) -> Relief:
    height = np.full((side, side), _NOTHING)
    cover, along_arm = np.zeros((2, side, side), np.float32)
    axis = np.arange(side, dtype=np.float32)
    reach = radii.max(1, keepdims=True) + 1
    windows = np.concatenate(
        [np.floor(places.min(1) - reach), np.ceil(places.max(1) + reach)], axis=1
    )
    for (start, end), (low, high), (radius, end_radius), (left, top, right, bottom), arm in zip(
        places, heights, radii, windows.clip(0, side).astype(int).tolist(), is_arm, strict=True
    ):
        if left >= right or top >= bottom:
            continue
        window = np.s_[top:bottom, left:right]
        x, y = axis[left:right] - start[0], (axis[top:bottom] - start[1])[:, None]
        axis_x, axis_y = end - start
        square_length = axis_x**2 + axis_y**2 + np.float32(1e-6)
        # How far along the axis each pixel is, from 0 to 1, and its squared distance from there.
        dot = x * axis_x + y * axis_y
        along = np.minimum(np.maximum(dot / square_length, 0), 1)
        square = np.maximum((along * square_length - dot - dot) * along + (x * x + y * y), 0)
        wide = along * (end_radius - radius) + radius
        inside = wide - np.sqrt(square) + np.float32(0.5)
        bulge = np.sqrt(np.maximum(wide * wide - square, 0)) + along * (high - low) + low
        bulge[inside <= 0] = _NOTHING
        np.maximum(cover[window], inside, out=cover[window])
        nearest = bulge > height[window]
        np.copyto(height[window], bulge, where=nearest)
        away = along * np.sqrt(square_length) / np.float32(side) if arm else np.float32(0)
        np.copyto(along_arm[window], away, where=nearest)
    np.minimum(cover, 1, out=cover)
    seen = cover > 0
    height[~seen] = height[seen].min() if seen.any() else 0
    return Relief(height, cover, along_arm)
