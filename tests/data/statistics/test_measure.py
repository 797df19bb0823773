"""The numbers of a picture beside formulas that are written out by somebody else."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import signal, stats

from data.statistics.measure import measure
from signs.image_bytes import encode_png


def grey(shades: np.ndarray) -> bytes:
    return encode_png(np.repeat(shades[:, :, None], 3, axis=2).astype(np.uint8))


def test_they_are_what_the_formulas_give() -> None:
    rng = np.random.default_rng(0)
    shades = rng.integers(40, 200, (48, 64))
    found = measure(grey(shades))
    assert found.brightness == pytest.approx(shades.mean() / 255)
    assert found.contrast == pytest.approx(shades.std() / 255)
    shares = np.bincount(shades.ravel()) / shades.size
    assert found.information == pytest.approx(stats.entropy(shares, base=2))
    kernel = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    laplacian = signal.convolve2d(shades / 255, kernel, mode="same", boundary="symm")
    assert found.sharpness == pytest.approx(laplacian.std(), rel=1e-5)


@pytest.mark.parametrize(
    ("width", "height", "aspect", "size"),
    [
        (64, 64, "1:1", "64 pixels"),
        (70, 64, "1:1", "64 pixels"),
        (640, 480, "1.4:1", "512 pixels"),
        (100, 300, "1:2.8", "128 pixels"),
        (1, 1, "1:1", "1 pixels"),
    ],
)
def test_sizes_are_told_in_steps(width: int, height: int, aspect: str, size: str) -> None:
    found = measure(grey(np.zeros((height, width))))
    assert (found.aspect, found.size, found.format) == (aspect, size, "PNG")


def test_a_large_picture_is_measured_as_the_network_sees_it() -> None:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (16, 16), np.uint8)).resize((64, 64))
    pictures = {}
    for side in (64, 512):
        file = io.BytesIO()
        small.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
        pictures[side] = measure(file.getvalue())
    for name in ("brightness", "contrast", "sharpness"):
        own, large = (getattr(pictures[side], name) for side in (64, 512))
        assert large == pytest.approx(own, rel=0.1)
    assert pictures[512].size == "512 pixels"


def test_a_blurred_picture_is_less_sharp_and_a_flat_one_tells_nothing() -> None:
    sharp = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    blurred = sharp.filter(ImageFilter.GaussianBlur(2))
    assert (
        measure(grey(np.asarray(blurred))).sharpness
        < measure(grey(np.asarray(sharp))).sharpness / 10
    )
    flat = measure(grey(np.full((64, 64), 255)))
    assert (flat.brightness, flat.contrast, flat.sharpness, flat.information) == (1, 0, 0, 0)


def test_what_is_no_picture_is_an_error() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        measure(b"no picture")
