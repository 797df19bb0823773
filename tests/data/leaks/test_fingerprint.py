"""Fingerprints: equal pixels have equal digests, whatever the files are."""

import numpy as np
import pytest

from data.leaks.fingerprint import SIDE, digest_of_pixels, fingerprint
from tests.data.leaks.pictures import jpeg, print_of, sample, scene


def test_a_jpeg_and_a_png_of_its_pixels_have_one_digest() -> None:
    import io

    from PIL import Image

    encoded = jpeg(scene(1), 75)
    with Image.open(io.BytesIO(encoded)) as image:
        pixels = np.asarray(image)
    assert print_of(encoded).picture.digest == print_of(pixels).picture.digest
    assert print_of(encoded).picture.digest == digest_of_pixels(pixels)


def test_one_pixel_makes_another_digest_and_so_does_another_shape() -> None:
    pixels = scene(1).copy()
    before = digest_of_pixels(pixels)
    assert digest_of_pixels(pixels.reshape(32, 128, 3)) != before
    pixels[3, 4, 2] ^= 1
    assert digest_of_pixels(pixels) != before


def test_a_fingerprint_is_small_whatever_the_picture() -> None:
    for side in (1, 33, 700):
        found = print_of(scene(1, side))
        assert (len(found.hashes), len(found.small)) == (40, SIDE * SIDE)


def test_a_picture_that_does_not_decode_is_an_error() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        fingerprint(sample(b"no picture"))
