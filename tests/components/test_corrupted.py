"""Copies of test images: the same each time, spoilt but to be recognised."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from components.evaluator import corrupted
from data.sample import Sample
from data.tfrecord import Writer
from signs import protos
from signs.image_bytes import encode_png

SIDE = 60


def split(folder: Path, images: list[bytes]) -> Path:
    folder.mkdir()
    with Writer(folder / "a.gz") as file:
        for number, image in enumerate(images):
            file.write(Sample(image, 1, "b", f"test/{number}", "test").serialize())
    return folder


def picture() -> np.ndarray:
    """A white disc on grey, uint8 [60, 60, 3]."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    return np.where((x**2 + y**2 < 400)[..., None], 220, 90).repeat(3, 2).astype(np.uint8)


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)), np.float32)


def test_each_corruption_changes_the_picture_in_its_way(tmp_path: Path) -> None:
    folder = split(tmp_path / "test", [encode_png(picture())])
    found = {}
    for serialized in corrupted.copies(folder):
        feature = protos.Example.FromString(serialized).features.feature
        name = feature["corruption"].bytes_list.value[0].decode()
        found[name] = pixels(feature["image"].bytes_list.value[0])
        assert Sample.parse(serialized).source_id == "test/0"
        assert feature["label"].int64_list.value[0] == 1
    assert [*found] == ["brightness", "blur", "jpeg", "rotation", "noise", "occlusion"]
    change = {name: np.abs(copy - picture()) for name, copy in found.items()}
    assert {copy.shape for copy in found.values()} == {(SIDE, SIDE, 3)}
    # Or darker: the image's id decides.
    assert found["brightness"].mean() > 1.3 * picture().mean()
    assert change["blur"][30, 30].max() == 0 < change["blur"].max()  # at the disc's edge
    assert 0 < change["jpeg"].mean() < 10
    assert 0.04 * 255 < (found["noise"] - picture()).std() < 0.06 * 255
    assert (change["occlusion"].max(axis=2) > 0).sum() == (SIDE // 5) ** 2
    assert change["rotation"][30, 30].max() == 0


def test_they_are_the_same_each_time_and_of_the_first_images(tmp_path: Path) -> None:
    folder = split(tmp_path / "test", [encode_png(picture())] * 3)
    once, again = ([*corrupted.copies(folder, 2)] for _ in range(2))
    assert once == again
    assert len(once) == 2 * 6
    assert once[4] != once[10]  # noise is drawn by the image's id


def test_what_is_no_image_has_no_copy_and_a_large_one_a_small(tmp_path: Path) -> None:
    assert not corrupted.are_there(split(tmp_path / "bad", [b"no image"]))
    large = encode_png(np.zeros([600, 900, 3], np.uint8))
    [first, *_] = corrupted.copies(split(tmp_path / "large", [large]))
    assert pixels(Sample.parse(first).image).shape == (171, 256, 3)
