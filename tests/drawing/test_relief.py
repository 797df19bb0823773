import numpy as np

from drawing.pose import ARM, PALM, Hand
from drawing.relief import relief


def ball(place: tuple[float, float, float], radius: float, part: int = PALM) -> Hand:
    ends = np.array([[place, place]], float)
    return Hand(ends, np.full((1, 2), radius), np.array([part]), False)


def joined(*hands: Hand) -> Hand:
    return Hand(
        *(np.concatenate([getattr(one, name) for one in hands]) for name in ("ends", "radii")),
        np.concatenate([one.parts for one in hands]),
        False,
    )


def test_a_ball_is_as_high_as_it_is_wide():
    seen = relief(np.random.default_rng(0), ball((0, 0, 0), 0.5), 64)
    width = seen.cover.sum(1).max()
    assert abs(seen.cover.sum(0).max() - width) < 1.5
    assert abs((seen.height.max() - seen.height[seen.cover > 0].min()) - width / 2) < 3
    assert (seen.height[seen.cover == 0] == seen.height[seen.cover > 0].min()).all()
    assert seen.along_arm.max() == 0
    assert seen.cover.dtype == seen.height.dtype == np.float32


def test_the_nearest_is_on_top():
    both = joined(ball((0, 0, 0), 0.5), ball((0, 0, 2), 0.1))
    far_first, near_first = (
        relief(np.random.default_rng(3), one, 64).height
        for one in (both, joined(ball((0, 0, 2), 0.1), ball((0, 0, 0), 0.5)))
    )
    np.testing.assert_allclose(far_first, near_first, atol=1e-4)


def test_the_arm_is_measured_from_the_wrist_and_may_leave_the_picture():
    arm = Hand(
        np.array([[(0, -0.5, 0), (0, -9, 0)]], float), np.full((1, 2), 0.2), np.array([ARM]), False
    )
    seen = relief(np.random.default_rng(0), joined(ball((0, 0, 0), 0.5), arm), 64)
    assert seen.along_arm.max() > 0.1
    assert seen.cover[[0, -1]].any() or seen.cover[:, [0, -1]].any()


def test_a_hand_outside_of_the_picture_is_no_error():
    far = joined(ball((0, 0, 0), 0.1), ball((0, 0, 0), 0.1, ARM))
    far.ends[1] += 100
    assert np.isfinite(relief(np.random.default_rng(0), far, 16).height).all()
