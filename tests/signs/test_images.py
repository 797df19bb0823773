"""Inputs become (source, bytes) pairs, in order; the client's tests have the usual ones."""

import os
from pathlib import Path

import numpy as np
import pytest

from signs.images import MAX_FILE_BYTES, InputError, read_each, read_images
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


def test_in_a_folder_the_content_says_what_is_an_image(tmp_path):
    names = ("a.PNG", "b.jfif", "c/d", "c/e.txt", "c/f.wébp")
    for name in (*names, "c/.hidden.png", ".g/h.png", "__MACOSX/a.png", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(RED)
    assert read_images(tmp_path) == [(str(tmp_path / name), RED) for name in names]


def test_what_gets_no_answer_is_told_and_the_others_are_read(tmp_path):
    contents = {
        "a.png": RED,
        "broken": RED[:-20],  # an image, though it is not called like one
        "empty": b"",
        "empty.jpg": b"",
        "notes.txt": b"a text",
        "photo.jpeg": b"a text",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    found = read_each([tmp_path, tmp_path / "notes.txt", b"bytes", tmp_path / "none"])
    truncated = "truncated: the file ends before the picture does"
    assert [found[0], *(str(item) for item in found[1:])] == [
        (f"{tmp_path}/a.png", RED),
        f"{tmp_path}/broken: {truncated}",
        f"{tmp_path}/empty: zero bytes",
        f"{tmp_path}/empty.jpg: zero bytes",
        f"{tmp_path}/notes.txt: not an image",
        f"{tmp_path}/photo.jpeg: not an image",
        f"{tmp_path}/notes.txt: not an image",
        "input 2: not an image",
        f"{tmp_path}/none: no such file or folder.",
    ]
    passed_over = [item.passed_over for item in found[1:]]
    assert passed_over == [False, True, False, True, False, False, False, False]
    assert refusal(tmp_path) == f"{tmp_path}/broken: {truncated}"


def test_a_folder_of_folders_that_lead_to_itself(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").symlink_to(tmp_path)
    (tmp_path / "a" / "c.png").write_bytes(RED)
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    assert [source for source, _ in read_images(tmp_path)] == [f"{tmp_path}/a/c.png"]


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert refusal(tmp_path) == f"{tmp_path}/a.png: not a regular file."


def test_a_file_of_an_absurd_size_is_not_read(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert refusal(tmp_path) == f"{tmp_path}/a.png: 104,857,601 bytes are more than 104,857,600."


def test_a_folder_that_is_called_like_an_image(tmp_path):
    (tmp_path / "x.png").mkdir()
    assert refusal(tmp_path) == f"{tmp_path}: no images in this folder."


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
