"""A hand as tapered tubes in space, its fingers bent to a sign.

Lengths are in units of about a palm's width. x goes to the little finger, y to the finger tips, z
out of the palm. The origin is in the palm; the knuckles are at y = 0.4, the wrist is at y = -0.6.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

INDEX, MIDDLE, RING, LITTLE, THUMB = range(5)
_FINGERS = range(4)  # all but the thumb

# SIGNS's six signs. 0 is an O of thumb and fingers, the others raise these; 3 is with the thumb.
RAISED: dict[int, tuple[int, ...]] = {
    1: (INDEX,),
    2: (INDEX, MIDDLE),
    3: (INDEX, MIDDLE, THUMB),
    4: (INDEX, MIDDLE, RING, LITTLE),
    5: (INDEX, MIDDLE, RING, LITTLE, THUMB),
}
SIGNS = (0, *RAISED)
NO_SIGN = len(SIGNS)  # any other hand


def shows_signs(class_names: Iterable[str]) -> bool:
    """Whether classes are these signs, by their names and in any order."""
    return sorted(class_names) == [str(sign) for sign in SIGNS]


_OTHERS = [
    raised
    for count in range(5)
    for raised in itertools.combinations(range(5), count)
    if raised not in RAISED.values()
]

_KNUCKLES = np.array(
    [(-0.37, 0.42, 0.0), (-0.12, 0.50, 0.02), (0.13, 0.47, 0.02), (0.36, 0.36, 0.0)]
)
_LENGTHS = (0.86, 0.97, 0.90, 0.70)
_RADII = (0.125, 0.130, 0.122, 0.105)
_PHALANGES = (0.46, 0.31, 0.23)  # of a finger's length
_TAPER = (1.0, 0.94, 0.84)  # of a finger's radius, at the ends of its phalanges
_FAN = (-1.0, -0.3, 0.35, 1.05)  # where a finger points, in units of the hand's spread
_THUMB_ROOT = np.array([-0.28, -0.34, 0.06])
_THUMB_RADIUS = 0.135
_THUMB_REACH = 0.47  # of each half of a bent thumb

# What a tube belongs to.
PALM, FINGER, ARM = range(3)


@dataclass
class Hand:
    """Tubes, one row each.

    Attributes:
        ends: float [n, 2, 3], where a tube's axis begins and ends.
        radii: float [n, 2].
        parts: int [n], PALM, FINGER or ARM.
        is_ring: thumb and fingers form the O of the sign 0, which is shown from the side.
    """

    ends: np.ndarray
    radii: np.ndarray
    parts: np.ndarray
    is_ring: bool


@dataclass
class _Tubes:
    """Tubes as they are put together."""

    rows: list[tuple[np.ndarray, np.ndarray, float, float, int]] = field(default_factory=list)

    def add(self, part: int, *chain: tuple[np.ndarray, float]) -> None:
        for (start, radius), (end, end_radius) in itertools.pairwise(chain):
            self.rows.append((start, end, radius, end_radius, part))

    def hand(self, is_ring: bool) -> Hand:
        starts, ends, radii, end_radii, parts = zip(*self.rows, strict=True)
        return Hand(
            np.stack([starts, ends], 1), np.stack([radii, end_radii], 1), np.array(parts), is_ring
        )


def hand(rng: np.random.Generator, sign: int) -> Hand:
    """Bends a hand of its own proportions to a sign.

    Args:
        rng: draws proportions and angles.
        sign: one of SIGNS, or NO_SIGN.
    """
    slim, long = rng.uniform(0.85, 1.12), rng.uniform(0.9, 1.12)
    is_ring, touched, raised = sign == 0, None, RAISED.get(sign, ())
    is_held = False
    if sign == NO_SIGN:
        if rng.random() < 0.65:  # the thumb touches a finger, as in the digits from 6 to 9
            touched = int(rng.choice(4, p=(0.2, 0.2, 0.2, 0.4)))
            raised = tuple(finger for finger in _FINGERS if finger != touched)
            is_held = bool(rng.random() < (0.25, 0.35, 0.5, 0.65)[touched])
        else:
            raised = _OTHERS[rng.integers(len(_OTHERS))]
    tubes = _Tubes()
    meeting = None if is_held else touched
    tips, joints = _fingers(rng, tubes, raised, is_ring, meeting, slim, long)
    wrist = _palm(rng, tubes, slim)
    if is_ring:
        meets = (tips[INDEX] + tips[MIDDLE]) / 2 - (0, rng.uniform(0, 0.12), 0)
        joint, tip = _meeting_thumb(rng, meets, long)
    elif touched is not None and is_held:
        joint, tip = _holding_thumb(rng, joints[touched], long)
    elif touched is not None:
        joint, tip = _meeting_thumb(rng, tips[touched], long)
    elif THUMB in raised:
        joint, tip = _raised_thumb(rng, long, may_be_close=len(raised) == 5)
    else:
        joint, tip = _bent_thumb(rng, raised, joints)
    radius = _THUMB_RADIUS * slim
    tubes.add(FINGER, (_THUMB_ROOT, 0.19 * slim**0.5), (joint, radius), (tip, radius * 0.82))
    _arm(rng, tubes, wrist, slim)
    return tubes.hand(is_ring)


def _fingers(
    rng: np.random.Generator,
    tubes: _Tubes,
    raised: Iterable[int],
    is_ring: bool,
    touched: int | None,
    slim: float,
    long: float,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Adds four fingers; returns their tips and their middle joints."""
    spread = np.radians(rng.choice([rng.uniform(1, 5), rng.uniform(5, 14), rng.uniform(10, 20)]))
    curl = rng.uniform(0.85, 1.15)
    tips, joints = [], []
    for finger in _FINGERS:
        radius = _RADII[finger] * slim
        length = _LENGTHS[finger] * long * rng.uniform(0.95, 1.05)
        angle = _FAN[finger] * spread + rng.normal(0, 0.035)
        if finger == INDEX and finger in raised and RING not in raised:
            angle -= abs(rng.normal(0, 0.1))  # the V of index and middle finger
        inward = np.radians((finger - 1) * rng.uniform(0, 8))  # bent fingers converge
        # How far each joint is bent, in degrees.
        if is_ring:
            bent = np.array(
                [rng.uniform(40, 62), rng.uniform(48, 72), rng.uniform(22, 45)]
            ) * curl + finger * rng.uniform(0, 7)
            angle *= 0.3
            if finger > INDEX and rng.random() < 0.12:
                bent = np.array([85.0, 90.0, 50.0])
        elif finger == touched:
            bent = np.array([rng.uniform(50, 85), rng.uniform(55, 98), rng.uniform(25, 50)])
            inward = np.radians(finger * rng.uniform(4, 14))
        elif finger in raised:
            bent = np.abs(rng.normal(0, 1, 3)) * (10, 8, 5)
            bent += rng.choice([0, 0, 0, rng.uniform(0, 25)])
            bent[0] = rng.normal(3, 9)
        else:
            bent = np.array([rng.uniform(70, 95), rng.uniform(85, 112), rng.uniform(40, 75)])
            angle *= 0.5
            if touched is None and rng.random() < 0.12:
                bent = np.array([rng.uniform(50, 70), rng.uniform(90, 110), rng.uniform(40, 70)])
        straight = np.array([np.sin(angle), np.cos(angle), 0.0])
        forward = np.array([-np.sin(inward), 0.0, np.cos(inward)])
        place = _KNUCKLES[finger] * (rng.uniform(0.95, 1.05), 1, 1)
        chain = [(_KNUCKLES[finger] - straight * 0.1, radius * 1.08)]
        for turned, share, taper in zip(
            np.radians(np.cumsum(bent)), _PHALANGES, _TAPER, strict=True
        ):
            ahead = np.cos(turned) * straight + np.sin(turned) * forward
            place = place + length * share * ahead
            chain.append((place, radius * taper))
        tubes.add(FINGER, *chain)
        joints.append(chain[2][0])
        tips.append(place)
    return tips, joints


def _palm(rng: np.random.Generator, tubes: _Tubes, slim: float) -> np.ndarray:
    """Adds the palm with the balls of thumb and little finger; returns the wrist."""
    wrist = np.array([rng.uniform(-0.05, 0.05), -0.62, 0.0])
    for knuckle in _KNUCKLES:
        start = wrist * (1, 0.75, 1) + (knuckle[0] * 0.55, 0, 0)
        tubes.add(PALM, (start, 0.23 * slim**0.5), (knuckle * (0.95, 0.86, 1), 0.175))
    tubes.add(PALM, (np.array([-0.2, -0.40, 0.06]), 0.23), (np.array([-0.30, -0.05, 0.05]), 0.15))
    tubes.add(PALM, (np.array([0.22, -0.40, 0.04]), 0.2), (np.array([0.30, 0.05, 0.03]), 0.15))
    return wrist


def _arm(rng: np.random.Generator, tubes: _Tubes, wrist: np.ndarray, slim: float) -> None:
    """Adds the forearm: longer than any picture shows."""
    angle = np.radians(rng.normal(0, 14))
    elbow = wrist + 3.2 * np.array([np.sin(angle), -np.cos(angle), rng.normal(0, 0.15)])
    tubes.add(ARM, (wrist + np.array([0, 0.1, 0]), 0.29 * slim), (elbow, 0.40 * slim))


def _meeting_thumb(
    rng: np.random.Generator, meets: np.ndarray, long: float
) -> tuple[np.ndarray, np.ndarray]:
    """Joint and tip of a thumb that reaches a finger's tip, its joint away from the palm."""
    tip = meets + rng.normal((-0.05, -0.06, 0.02), 0.03)
    reach = tip - _THUMB_ROOT
    away = np.cross(reach, (1.0, 0.0, 0.0))
    away /= np.linalg.norm(away) + 1e-6
    if away[2] < 0:
        away = -away
    square = (_THUMB_REACH * long) ** 2 - float(reach @ reach) / 4
    return (_THUMB_ROOT + tip) / 2 + (away * 0.8 + (-0.55, 0, 0)) * max(square, 0.03) ** 0.5, tip


def _holding_thumb(
    rng: np.random.Generator, joint: np.ndarray, long: float
) -> tuple[np.ndarray, np.ndarray]:
    """Joint and tip of a thumb that lies across the palm and holds a bent finger down."""
    tip = joint + rng.uniform((-0.14, -0.34, 0.1), (0.06, -0.04, 0.2))
    reach = tip - _THUMB_ROOT
    outward = np.array([-reach[1], reach[0], 0.0]) / (np.hypot(reach[0], reach[1]) + 1e-6)
    bend = rng.uniform(0.02, 0.22) * long
    return _THUMB_ROOT + reach * rng.uniform(0.45, 0.6) + outward * bend + (0, 0, 0.1), tip


def _raised_thumb(
    rng: np.random.Generator, long: float, may_be_close: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Joint and tip of a thumb that stands off, or lies beside an open hand."""
    angle, forward = np.radians(rng.uniform(-75, -25)), rng.uniform(-0.05, 0.5)
    if may_be_close and rng.random() < 0.2:
        angle = np.radians(rng.uniform(-30, -8))

    def ahead(angle: float, forward: float) -> np.ndarray:
        direction = np.array([np.sin(angle), np.cos(angle), forward])
        return direction / np.linalg.norm(direction)

    joint = _THUMB_ROOT + 0.5 * long * ahead(angle, forward)
    angle += np.radians(rng.uniform(-15, 25))
    return joint, joint + 0.38 * long * ahead(angle, forward * rng.uniform(0, 1))


def _bent_thumb(
    rng: np.random.Generator, raised: tuple[int, ...], joints: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Joint and tip of a thumb across the palm, beside it, or over the bent fingers."""
    if {INDEX, MIDDLE, RING} <= set(raised):
        joint = np.array([-0.36 + rng.normal(0, 0.04), rng.uniform(-0.06, 0.14), 0.24])
        tip = np.array([rng.uniform(-0.12, 0.26), rng.uniform(-0.05, 0.22), rng.uniform(0.22, 0.3)])
        return joint, tip
    if rng.random() < 0.15:
        tip = np.array([-0.42 + rng.normal(0, 0.05), rng.uniform(0.3, 0.42), 0.2])
        return np.array([-0.46, 0.05, 0.15]), tip
    bent = [finger for finger in _FINGERS if finger not in raised]
    over = bent[0] if rng.random() < 0.7 or len(bent) < 2 else bent[1]
    tip = joints[over] + (rng.uniform(-0.06, 0.1), rng.uniform(-0.12, 0.1), 0.16)
    joint = np.array(
        [-0.42 + rng.normal(0, 0.04), rng.uniform(-0.08, 0.1), rng.uniform(0.22, 0.38)]
    )
    return joint, tip
