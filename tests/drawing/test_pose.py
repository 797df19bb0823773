import numpy as np
import pytest

from drawing.pose import (
    ARM,
    FINGER,
    INDEX,
    LITTLE,
    MIDDLE,
    NO_SIGN,
    RAISED,
    RING,
    SIGNS,
    THUMB,
    Hand,
    hand,
)

HANDS = 60


def hands(sign: int) -> list[Hand]:
    return [hand(np.random.default_rng([5, index]), sign) for index in range(HANDS)]


def fingers(one: Hand) -> np.ndarray:
    """The tips of index, middle, ring and little finger and of the thumb: [5, 3]."""
    ends = one.ends[one.parts == FINGER, 1]
    assert len(ends) == 4 * 3 + 2
    return ends[[2, 5, 8, 11, 13]]


def test_there_are_six_signs():
    assert SIGNS == (0, 1, 2, 3, 4, 5)
    assert NO_SIGN == 6
    assert RAISED[3] == (INDEX, MIDDLE, THUMB)  # SIGNS's three is not index, middle and ring


@pytest.mark.parametrize("sign", sorted(RAISED))
def test_raised_fingers_reach_up_and_bent_ones_do_not(sign):
    heights = np.array([fingers(one)[:, 1] for one in hands(sign)])
    for finger in (INDEX, MIDDLE, RING, LITTLE):
        is_raised = finger in RAISED[sign]
        assert ((heights[:, finger] > 0.8) == is_raised).mean() > 0.95


@pytest.mark.parametrize("sign", sorted(RAISED))
def test_the_thumb_stands_off_where_it_counts_and_lies_over_the_hand_elsewhere(sign):
    thumbs = np.array([fingers(one)[THUMB] for one in hands(sign)])
    if THUMB in RAISED[sign]:
        assert (thumbs[:, 0] < -0.35).mean() > 0.95
    else:
        assert np.median(thumbs[:, 2]) > 0.15
        assert np.median(thumbs[:, 0]) > -0.35


def test_zero_is_an_o_of_thumb_and_fingers():
    for one in hands(0):
        assert one.is_ring
        tips = fingers(one)
        assert np.linalg.norm(tips[THUMB] - tips[:2].mean(0)) < 0.35
        # There is room within: the fingers reach out of the palm, and come back down to the thumb.
        assert tips[INDEX, 2] > 0.3


def test_what_is_no_sign_raises_what_no_sign_raises():
    assert not any(one.is_ring for one in hands(NO_SIGN))
    seen = set()
    for one in hands(NO_SIGN):
        tips = fingers(one)
        up = tuple(np.flatnonzero(tips[:4, 1] > 0.8).tolist())
        seen.add(up)
        # With these up, the thumb alone tells it from a sign.
        if up == (INDEX, MIDDLE, RING, LITTLE):
            assert tips[THUMB, 0] < -0.3
    assert len(seen) > 8


def test_every_hand_has_an_arm_and_proportions_of_its_own():
    for sign in (*SIGNS, NO_SIGN):
        some = hands(sign)
        assert all((one.parts == ARM).sum() == 1 for one in some)
        assert len({one.ends.tobytes() for one in some}) == HANDS
        assert all((one.radii > 0.05).all() for one in some)
