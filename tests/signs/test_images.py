"""Inputs become (source, bytes) pairs, in order; the client's tests have the usual ones."""

import os
from pathlib import Path

import numpy as np
import pytest

from signs.images import InputError, read_images
from tests.served import BLUE, GREEN, RED


def refusal(images: object) -> str:
    with pytest.raises(InputError) as caught:
        read_images(images)
    return str(caught.value)


def test_bytes_of_every_kind_have_their_position_as_source():
    pairs = read_images([RED, bytearray(GREEN), memoryview(BLUE)])
    assert pairs == [("input 0", RED), ("input 1", GREEN), ("input 2", BLUE)]


def test_one_input_needs_no_list(tmp_path):
    (tmp_path / "a.png").write_bytes(RED)
    for single in (tmp_path / "a.png", str(tmp_path / "a.png"), tmp_path):
        assert read_images(single) == [(str(tmp_path / "a.png"), RED)]
    assert read_images(RED) == [("input 0", RED)]


def test_arrays_become_png():
    pixels = np.full((2, 5, 4, 3), 9, np.uint8)
    pairs = read_images(pixels)
    assert [source for source, _ in pairs] == ["input 0[0]", "input 0[1]"]
    assert read_images(pixels[0]) == [("input 0", pairs[0][1])]
    assert pairs[0][1].startswith(b"\x89PNG")


def test_a_folder_by_the_names_of_its_files(tmp_path):
    for name in ("b.jpg", "a.PNG", "c/d.webp", "c/.hidden.png", ".e/f.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(RED)
    sources = [source for source, _ in read_images(tmp_path)]
    assert sources == [str(tmp_path / name) for name in ("a.PNG", "b.jpg", "c/d.webp")]


def test_a_folder_that_is_called_like_an_image(tmp_path):
    (tmp_path / "x.png").mkdir()
    assert refusal(tmp_path).startswith(f"{tmp_path}: no images in this folder (.avif, .bmp")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "a.png").touch(0)
    assert refusal(tmp_path / "a.png") == f"{tmp_path}/a.png: cannot be read: Permission denied."


def test_what_is_wrong_is_named_by_its_position():
    wanted = "an array must be uint8 [height, width, 3] or [number, height, width, 3]."
    assert refusal([RED, np.zeros((0, 4, 3), np.uint8)]).startswith("input 1: `pixels` must not be")
    assert refusal([RED, np.zeros(3, np.uint8)]) == f"input 1: {wanted} Received: uint8 [3]"
    assert refusal([RED, [RED]]) == (
        "input 1: an image must be a path, bytes or a uint8 array. Received: list"
    )
    assert refusal([Path("no/such.png")]) == "no/such.png: no such file or folder."
    assert refusal(iter([])) == "`images` is empty: name at least one image file or folder."
