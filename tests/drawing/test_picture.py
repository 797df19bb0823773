import numpy as np
import pytest

from drawing import NO_SIGN, SIGNS, draw, draw_hand


def test_a_drawing_is_a_function_of_seed_index_and_sign():
    picture = draw(0, 5, 2)
    assert picture.shape == (64, 64, 4)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, draw(0, 5, 2))
    for other in (draw(1, 5, 2), draw(0, 6, 2), draw(0, 5, 3)):
        assert (picture != other).any()
    assert draw(-1, 0, 0).shape == (64, 64, 4)


@pytest.mark.parametrize("sign", [*SIGNS, NO_SIGN])
def test_hands_cover_a_part_and_the_wall_is_plain(sign):
    for index in range(30):
        picture = draw(1, index, sign)
        cover = picture[..., 3]
        assert 0.04 < (cover > 127).mean() < 0.85
        wall = picture[cover == 0][:, :3]
        assert np.ptp(wall, axis=0).max() <= 1
        # It can be seen.
        hand = picture[cover == 255][:, :3].astype(float)
        assert np.abs(hand - wall[0]).mean() > 8


@pytest.mark.parametrize("size", [32, 96, 224])
def test_other_sizes_show_the_same_hand(size):
    small, large = draw(0, 3, 5)[..., 3] / 255, draw(0, 3, 5, size)[..., 3] / 255
    assert large.shape == (size, size)
    assert abs(small.mean() - large.mean()) < 0.02


def test_a_hand_before_nothing_is_dark_where_it_covers_nothing():
    skin, cover, light = draw_hand(np.random.default_rng(0), 4)
    assert skin[cover[..., 0] == 0].max() == 0
    assert skin.max() > 0.3
    np.testing.assert_allclose(np.linalg.norm(light), 1, rtol=1e-5)


def test_more_light_comes_from_where_the_light_is():
    left, right = [], []
    for index in range(80):
        skin, cover, light = draw_hand(np.random.default_rng(index), 5)
        tone = skin.sum(-1) / np.maximum(cover[..., 0], 0.5)
        slope = np.gradient(cover[..., 0], axis=1)
        is_right_edge = (slope < -0.2) & (cover[..., 0] > 0.5)
        (right if light[0] > 0.3 else left if light[0] < -0.3 else []).append(
            tone[is_right_edge].mean() / tone[cover[..., 0] > 0.5].mean()
        )
    assert np.mean(right) > np.mean(left) + 0.05
