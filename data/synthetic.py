"""Drawn hands that raise 0 to 5 fingers: SIGNS to try everything with, without a download.

    (seed, index) -> geometry in tubes -> height map -> light and skin -> 64x64 RGB

An image is a pure function of (seed, index), so workers can draw any part of any number of images.
The hand is a set of tapered tubes, seen from above as a height map; its slopes are lit like a
photograph, which gives fingers their roundness and creases. `python -m data.synthetic picture.png`
writes the montage in the documentation.
"""

import itertools
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from signs.features import EVAL, IMAGE_SIZE, TEST, TRAIN

DEFAULT_COUNT = 1_200
CLASS_NAMES = tuple("012345")
# Part of the fingerprint: raise it when the same (seed, index) gives another picture.
GENERATOR_VERSION = 1

_SUPERSAMPLING = 2  # `_halve` averages pairs
_CANVAS = IMAGE_SIZE * _SUPERSAMPLING
_AXIS = np.arange(_CANVAS, dtype=np.float32)
_NOTHING = -1e3  # the height where there is no hand

# Ten blocks of one image per class: every split has its share from 18 images on.
_BLOCKS = (TRAIN, EVAL, TEST) + (TRAIN,) * 7

# The hand lies in units of the palm's width: x to the little finger, y to the finger tips.
_KNUCKLES = np.array([(-0.37, 0.42), (-0.13, 0.50), (0.12, 0.47), (0.35, 0.36)])
_LENGTHS = np.array([0.86, 0.97, 0.90, 0.70])
_RADII = np.array([0.125, 0.130, 0.122, 0.105])
_SPREAD = np.array([-9.0, -2.5, 4.5, 13.0])  # degrees from straight up
_THUMB_ROOT = np.array([-0.33, -0.30])
_THUMB = 4
_POSES: dict[
    int, list[tuple[int, ...]]
] = {  # raised fingers: index 0, middle 1, ring 2, little 3, thumb 4
    0: [()],
    1: [(0,)],
    2: [(0, 1)],
    3: [(0, 1, 2), (0, 1, _THUMB)],
    4: [(0, 1, 2, 3)],
    5: [(0, 1, 2, 3, _THUMB)],
}
_SKIN = np.array(  # from light to dark, RGB in [0, 1]
    [
        (0.95, 0.80, 0.70),
        (0.88, 0.68, 0.55),
        (0.76, 0.54, 0.40),
        (0.56, 0.37, 0.26),
        (0.37, 0.24, 0.17),
    ]
)


def label_of(index: int) -> int:
    """Returns how many fingers image `index` shows; the classes take turns."""
    return index % len(CLASS_NAMES)


def split_of(index: int) -> str:
    """Returns the split of image `index`: 80 % train, 10 % eval, 10 % test in every class."""
    return _BLOCKS[index // len(CLASS_NAMES) % len(_BLOCKS)]


def draw(seed: int, index: int) -> np.ndarray:
    """Draws one hand.

    Args:
        seed: Any integer; another seed gives other pictures of the same kind.
        index: Which picture, from 0; `label_of(index)` fingers are raised.

    Returns:
        uint8 [64, 64, 3], RGB.
    """
    rng = np.random.default_rng([seed & (2**64 - 1), index])
    height, cover = _relief(_tubes(rng, label_of(index)))
    light = _direction(rng)
    window = _bounds(cover)
    hand = _skin(rng, height[window], light) * cover[window][..., None]
    # Only the hand has edges that need supersampling; all else is made at its final size.
    cover, hand = _halve(cover), _halve(hand)
    picture = _background(rng, cover, light)
    picture *= 1 - cover[..., None]
    picture[tuple(slice(part.start // 2, part.stop // 2) for part in window)] += hand
    return _photograph(rng, picture)


def montage(seed: int = 0, columns: int = 10, size: int = 64) -> Image.Image:
    """Returns a labelled picture with one row of `columns` hands for every class.

    Args:
        seed: The seed of the hands.
        columns: How many hands a row shows.
        size: Pixels that each hand is shown at, a side.
    """
    gap, margin = 4, 28
    classes = len(CLASS_NAMES)
    width, height = margin + columns * (size + gap), classes * (size + gap) + gap
    picture = Image.new("RGB", (width, height), "white")
    write = ImageDraw.Draw(picture)
    font = ImageFont.load_default(20)
    for label, name in enumerate(CLASS_NAMES):
        top = gap + label * (size + gap)
        write.text((margin / 2, top + size / 2), name, "black", font, anchor="mm")
        for column in range(columns):
            hand = Image.fromarray(draw(seed, label + column * classes))
            hand = hand.resize((size, size), Image.Resampling.BICUBIC)
            picture.paste(hand, (margin + column * (size + gap), top))
    return picture


_Tube = tuple[
    np.ndarray, np.ndarray, float, float, float
]  # from, to, two radii, height of the axis


def _tubes(rng: np.random.Generator, fingers: int) -> list[_Tube]:
    """Poses a hand and returns its tubes in canvas pixels, x to the right and y down."""
    poses = _POSES[fingers]
    raised = poses[rng.integers(len(poses))]
    slim, long, spread = rng.uniform(0.88, 1.1), rng.uniform(0.92, 1.1), rng.uniform(0.5, 1.5)
    tubes: list[_Tube] = []

    def add(*chain: tuple[np.ndarray, float], height: float) -> None:
        for (start, radius), (end, end_radius) in itertools.pairwise(chain):
            tubes.append((start, end, radius, end_radius, height))

    wrist = np.array([rng.uniform(-0.08, 0.08), -0.62])
    elbow = wrist + np.array([rng.uniform(-0.5, 0.5), -2.6])
    add((wrist, 0.31 * slim), (elbow, 0.38 * slim), height=-0.05)
    for knuckle in _KNUCKLES:
        add((wrist * (0.6, 0.75), 0.27), (knuckle * 0.82, 0.20), height=0.0)
    # The ball of the thumb rounds off the palm on its side.
    add((np.array([-0.2, -0.38]), 0.24), (np.array([-0.30, -0.05]), 0.17), height=0.03)

    for finger in range(_THUMB):
        knuckle, radius = _KNUCKLES[finger], _RADII[finger] * slim
        angle = np.radians(_SPREAD[finger] * spread + rng.normal(0, 2.0))
        up = np.array([np.sin(angle), np.cos(angle)])
        if finger in raised:
            length = _LENGTHS[finger] * long * rng.uniform(0.93, 1.05)
            bend = np.radians(rng.normal(0, 4.0))
            tip = np.array([np.sin(angle + bend), np.cos(angle + bend)])
            middle = knuckle + up * length * 0.5
            add(
                (knuckle - up * 0.1, radius * 1.08),
                (middle, radius),
                (middle + tip * length * 0.5, radius * 0.82),
                height=0.06,
            )
        else:  # bent into the palm: the middle joint stands up, the tip lies on the palm
            joint = knuckle + up * rng.uniform(0.10, 0.2)
            tip = knuckle * (0.85, 1.0) - (0.0, rng.uniform(0.34, 0.44))
            add((joint, radius * 1.08), (tip, radius * 0.95), height=0.2)

    radius = 0.135 * slim
    if _THUMB in raised:
        angle = np.radians(rng.uniform(-62, -38))
        joint = _THUMB_ROOT + 0.52 * long * np.array([np.sin(angle), np.cos(angle)])
        angle += np.radians(rng.uniform(-5, 20))
        tip = joint + 0.40 * long * np.array([np.sin(angle), np.cos(angle)])
        add((_THUMB_ROOT, 0.19), (joint, radius), (tip, radius * 0.8), height=0.08)
    else:
        joint = np.array([-0.42, rng.uniform(-0.06, 0.06)])
        tip = np.array([rng.uniform(-0.1, 0.12), rng.uniform(-0.06, 0.10)])
        add((_THUMB_ROOT, 0.19), (joint, radius), (tip, radius * 0.85), height=0.32)
    return _place(rng, tubes, top=1.4 if raised else 0.7)


def _place(rng: np.random.Generator, tubes: list[_Tube], top: float) -> list[_Tube]:
    """Puts a hand that reaches from -0.6 to `top` on the canvas: mirrored, turned, scaled."""
    scale = _CANVAS * rng.uniform(0.31, 0.42)
    angle = np.radians(rng.normal(0, 13))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mirror = np.array([rng.choice([-1.0, 1.0]), -1.0])
    center = np.array([0.0, (top - 0.6) / 2])
    shift = _CANVAS * (0.5 + rng.uniform(-0.07, 0.07, 2))

    def place(point: np.ndarray) -> np.ndarray:
        return turn @ ((point - center) * mirror) * scale + shift

    return [
        (place(start), place(end), radius * scale, end_radius * scale, height * scale)
        for start, end, radius, end_radius, height in tubes
    ]


def _relief(tubes: list[_Tube]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the height of the hand and how much of each pixel it covers, float32 [size, size]."""
    relief = np.full((_CANVAS, _CANVAS), _NOTHING, np.float32)
    cover = np.zeros((_CANVAS, _CANVAS), np.float32)
    for start, end, radius, end_radius, height in tubes:
        reach = max(radius, end_radius) + 1
        left, top = np.floor(np.minimum(start, end) - reach).astype(int).clip(0, _CANVAS)
        right, bottom = np.ceil(np.maximum(start, end) + reach).astype(int).clip(0, _CANVAS)
        if left >= right or top >= bottom:
            continue
        window = np.s_[top:bottom, left:right]
        x = _AXIS[left:right] - np.float32(start[0])
        y = (_AXIS[top:bottom] - np.float32(start[1]))[:, None]
        axis_x, axis_y = (end - start).astype(np.float32)
        length = axis_x**2 + axis_y**2 + np.float32(1e-6)
        # How far along the axis each pixel is, from 0 to 1, and its squared distance from there.
        dot = x * axis_x + y * axis_y
        along = np.minimum(np.maximum(dot / length, 0), 1)
        square = (along * length - dot - dot) * along + (x * x + y * y)
        radii = along * np.float32(end_radius - radius) + np.float32(radius)
        inside = radii - np.sqrt(np.maximum(square, 0)) + np.float32(0.5)
        bulge = np.sqrt(np.maximum(radii * radii - square, 0)) + np.float32(height)
        bulge[inside <= 0] = _NOTHING
        np.maximum(cover[window], inside, out=cover[window])
        np.maximum(relief[window], bulge, out=relief[window])
    np.minimum(cover, 1, out=cover)
    return relief, cover


def _bounds(cover: np.ndarray) -> tuple[slice, slice]:
    """Returns the smallest window, from even to even pixels, that holds all that is covered."""
    rows, columns = np.flatnonzero(cover.any(1)), np.flatnonzero(cover.any(0))
    return (
        slice(rows[0] // 2 * 2, rows[-1] // 2 * 2 + 2),
        slice(columns[0] // 2 * 2, columns[-1] // 2 * 2 + 2),
    )


def _halve(picture: np.ndarray) -> np.ndarray:
    """Averages squares of 2 x 2 pixels."""
    rows = picture[0::2] + picture[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25)


def _direction(rng: np.random.Generator) -> np.ndarray:
    """Returns the unit vector to the light: from above the hand, mostly from its upper side."""
    light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.9, 0.3), rng.uniform(0.7, 1.3)])
    return (light / np.linalg.norm(light)).astype(np.float32)


def _skin(rng: np.random.Generator, height: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Lights the relief; returns float32 [size, size, 3], about [0, 1]."""
    slope_y, slope_x = np.gradient(height)
    # A step between two fingers is a crease, not a mirror.
    slope_x, slope_y = np.clip(slope_x, -2.5, 2.5), np.clip(slope_y, -2.5, 2.5)
    facing = (light[2] - slope_x * light[0] - slope_y * light[1]) / np.sqrt(
        1 + slope_x**2 + slope_y**2
    )
    ambient = rng.uniform(0.38, 0.6)
    shade = (ambient + (1.1 - ambient) * np.maximum(facing, 0)).astype(np.float32)
    tone = rng.uniform(0, len(_SKIN) - 1)
    skin = np.array([np.interp(tone, range(len(_SKIN)), channel) for channel in _SKIN.T])
    skin = skin * rng.uniform(0.94, 1.06, 3)
    # Shadows on skin are red: blood scatters the light back.
    # (About the powers 0.85, 1.05 and 1.1 of the shade, which take ten times as long.)
    slope = np.array([0.86, 1.05, 1.1], np.float32)
    return (skin.astype(np.float32) * slope) * shade[..., None] + (skin * (1 - slope)).astype(
        np.float32
    )


def _background(rng: np.random.Generator, cover: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Returns a wall with stains, now and then things on it, and the shadow of the hand."""
    wall = rng.uniform(0.25, 0.95) + rng.uniform(-0.12, 0.12, 3)
    stains = (
        wall + rng.normal(0, rng.uniform(0.01, 0.08), (4, 4, 1)) + rng.normal(0, 0.015, (4, 4, 3))
    )
    small = Image.fromarray((stains.clip(0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.35:
        small = small.resize((32, 32), Image.Resampling.BICUBIC)
        pen = ImageDraw.Draw(small)
        for _ in range(rng.integers(1, 4)):
            (x, y), (width, height) = (
                rng.integers(-8, 32, 2).tolist(),
                rng.integers(4, 24, 2).tolist(),
            )
            color = tuple((rng.uniform(0.15, 0.95, 3) * 255).astype(int).tolist())
            pen.rectangle((x, y, x + width, y + height), color)
        small = small.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3)))
    side = (IMAGE_SIZE, IMAGE_SIZE)
    picture = np.asarray(small.resize(side, Image.Resampling.BICUBIC), np.float32)

    distance = rng.uniform(2, 7)
    dx, dy = (-light[:2] / light[2] * distance).tolist()
    shape = Image.fromarray((cover[::2, ::2] * 255).astype(np.uint8))
    soft = shape.filter(ImageFilter.GaussianBlur(rng.uniform(0.7, 2.0)))
    where = (-dx / 2, -dy / 2, (IMAGE_SIZE - dx) / 2, (IMAGE_SIZE - dy) / 2)
    moved = soft.transform(side, Image.Transform.EXTENT, where, Image.Resampling.BILINEAR)
    shadow = np.asarray(moved, np.float32) * np.float32(rng.uniform(0.1, 0.5) / 255)
    return picture * ((1 - shadow) / 255)[..., None]


def _photograph(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Takes the picture: exposure, white balance, noise; uint8 [64, 64, 3]."""
    exposure = rng.uniform(0.75, 1.15) * rng.uniform(0.95, 1.05, 3) * 255
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(1, 5))
    return (picture * exposure.astype(np.float32) + noise + 0.5).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    montage().quantize(256).save(Path(sys.argv[1]), optimize=True)
