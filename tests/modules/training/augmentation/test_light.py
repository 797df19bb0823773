import numpy as np
import pytest

from tests.modules.training.augmentation.changes import COUNT, changed, noise
from tests.modules.training.augmentation.test_geometry import assert_spread

FLAT = np.full((COUNT, 16, 16, 3), 0.4, np.float32)


def test_brightness_is_a_factor():
    images = noise(COUNT, low=0.2, high=0.7)
    factors = changed(images, brightness=0.3) / images
    np.testing.assert_allclose(factors, factors[:, :1, :1, :1] + 0 * factors, atol=2e-3)
    assert_spread(factors[:, 0, 0, 0].round(3), 0.7, 1.3)


def test_contrast_is_a_factor_about_the_mean():
    images = noise(COUNT, low=0.3, high=0.7)
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    result = changed(images, contrast=0.3)
    np.testing.assert_allclose(result.mean(axis=(1, 2, 3), keepdims=True), mean, atol=1e-3)
    spread = result.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3))
    assert_spread(spread.round(3), 0.7, 1.3)


def test_white_balance_is_a_factor_for_each_colour():
    factors = changed(FLAT, white_balance=0.25)[:, 0, 0] / 0.4
    assert_spread(factors.round(3), 0.75, 1.25)
    assert (np.ptp(factors, axis=1) > 0.01).mean() > 0.9
    assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.5


def test_saturation_is_a_factor_about_grey():
    images = noise(COUNT, low=0.35, high=0.65)
    grey = images.mean(-1, keepdims=True)
    result = changed(images, saturation=0.6)
    np.testing.assert_allclose(result.mean(-1, keepdims=True), grey, atol=1e-3)
    factors = (result - grey).std((1, 2, 3)) / (images - grey).std((1, 2, 3))
    assert_spread(factors.round(3), 0.4, 1.6)


def test_gamma_is_a_power():
    powers = np.log(changed(FLAT, gamma=0.5)[:, 0, 0, 0]) / np.log(0.4)
    assert_spread(np.log(powers).round(2), -0.5, 0.5)


def test_a_vignette_darkens_what_is_far_from_its_centre():
    result = changed(FLAT, vignette=0.5)[..., 0] / 0.4
    assert result.max() <= 1.001
    assert 0.5 <= result.min() < 0.65
    assert (result.min((1, 2)) > 0.99).mean() < 0.6


def test_a_slope_darkens_one_side_and_lights_the_other():
    result = changed(FLAT, slope=0.3)[..., 0] / 0.4
    across = (result[:, 8, -1] - result[:, 8, 0]) / 2
    assert_spread(across.round(2), -0.3, 0.3)
    np.testing.assert_allclose(result.mean((1, 2)), 1, atol=0.01)


def test_blur_softens_some_and_sharpens_some():
    images = noise(COUNT, low=0.3, high=0.7)
    change = changed(images, blur=0.5).std((1, 2, 3)) / images.std((1, 2, 3))
    assert COUNT / 5 < (change < 0.98).sum() < COUNT * 3 / 4
    assert 0 < (change > 1.02).sum() < COUNT / 3
    assert ((change > 0.999) & (change < 1.001)).sum() > COUNT / 5


def test_noise_differs_from_pixel_to_pixel():
    deviation = (changed(FLAT, noise=0.04) - FLAT).std((1, 2, 3))
    assert deviation.max() < 0.045
    assert deviation.max() > 0.03
    assert np.ptp(deviation) > 0.02


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("grey", lambda images: np.repeat(images.mean(-1, keepdims=True), 3, -1)),
        ("swap_colors", lambda images: images[..., ::-1]),
        ("invert", lambda images: 1 - images),
    ],
)
def test_a_share_of_the_images_is_changed(name, changes):
    images = noise(COUNT, low=0.1, high=0.9)
    result = changed(images, **{name: 0.5})
    is_kept = np.abs(result - images).max((1, 2, 3)) < 2e-3
    is_changed = np.abs(result - changes(images)).max((1, 2, 3)) < 2e-3
    assert (is_kept ^ is_changed).all()
    assert COUNT / 4 < is_changed.sum() < COUNT * 3 / 4


def test_a_square_of_one_grey_hides_a_part():
    images = noise(COUNT, side=32, low=0.1, high=0.9)
    result = changed(images, erase=0.5)
    hidden = np.abs(result - images).max(-1) > 2e-3
    shares = hidden.mean((1, 2))
    assert COUNT / 4 < (shares > 0).sum() < COUNT * 3 / 4
    assert 0 < shares.max() < 0.14
    some = np.flatnonzero(shares > 0.01)
    for index in some:
        assert np.ptp(result[index][hidden[index]]) < 1e-3
