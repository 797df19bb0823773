"""Pictures for a page: few of many, the same ones each time, and small."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from components.run_page import pictures
from data.sample import Sample
from signs.image_bytes import encode_png


def sample(number: int, class_name: str = "a", size: tuple[int, int] = (50, 70)) -> Sample:
    pixels = np.full((size[1], size[0], 3), number % 256, np.uint8)
    return Sample(encode_png(pixels), 0, class_name, f"{number}.png", "train")


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_few_of_each_class_the_same_each_time() -> None:
    samples = [sample(number, "ab"[number % 2]) for number in range(200)]
    found = pictures.sample(samples, {"7.png", "no.png"}, 5)
    assert found.counts == {"a": 100, "b": 100}
    assert {name: len(kept) for name, kept in found.by_class.items()} == {"a": 5, "b": 5}
    assert list(found.wanted) == ["7.png"]
    assert pictures.sample(samples, (), 5).by_class == found.by_class


def test_the_last_are_among_them_as_often_as_the_first() -> None:
    samples = [sample(number) for number in range(256)]
    kept = pictures.sample(samples, (), 128).by_class["a"]
    late = sum(int(one.source_id.removesuffix(".png")) >= 128 for one in kept)
    assert 44 <= late <= 84  # four deviations of 64


@pytest.mark.parametrize(
    ("classes", "splits", "images"), [(6, 3, 20), (100, 3, 5), (5000, 3, 2), (1, 1, 20)]
)
def test_a_page_has_room_for_so_many(classes: int, splits: int, images: int) -> None:
    assert pictures.of_each_class(classes, splits) == images


def test_a_mosaic_has_squares_in_rows() -> None:
    found = pictures.mosaic("train", "a", 100, [sample(number * 20) for number in range(12)])
    picture = decoded(found.picture)
    assert picture.size == (found.width, found.height) == (400, 80)
    assert abs(picture.getpixel((60, 20))[0] - 20) < 8
    assert abs(picture.getpixel((60, 60))[0] - 220) < 8


def test_a_thumbnail_keeps_its_shape() -> None:
    assert decoded(pictures.thumbnail(sample(9, size=(400, 100)).image)).size == (96, 24)
