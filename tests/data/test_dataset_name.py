from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import IngestError
from data.converting.convert import ingest
from data.dataset_name import check_name, dataset_name
from data.sources.source import Surveyed
from tests.data.images import class_tree


def surveyed(name, **more):
    return Surveyed(name=name, description="", class_names=("a", "b"), fingerprint="", **more)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("Photos 2024", "photos-2024"),
        ("My Hände", "my-hande"),
        ("cafe\u0301", "cafe"),
        ("hands 😀", "hands"),
        ("2024", "images-2024"),
        ("signs", "images-signs"),
        ("photos-synthetic", "photos-synthetic-images"),
        ("signs-synthetic", "signs-synthetic-images"),
        ("7-synthetic", "images-7-synthetic-images"),
        ("b" * 63, "b" * 63),
        # Of these too little is left to tell one from another.
        ("手势", None),
        ("猫犬", None),
        ("photos 猫犬", None),
        ("größer", None),
        ("Привет", None),
        ("😀", None),
        ("...", None),
        ("b" * 64, None),
        ("a" * 53 + "-synthetic", None),
    ],
)
def test_names_of_sources(source, name):
    if name:
        assert dataset_name(None, surveyed(source)) == name
    else:
        with pytest.raises(IngestError, match=r"no name for the data set .* give one with --name"):
            dataset_name(None, surveyed(source))


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_names(one, other):
    """A name is valid, never the drawings' or SIGNS's, and letters are never lost."""
    found = []
    for source in (one, other):
        try:
            found.append(dataset_name(None, surveyed(source)))
        except IngestError:
            return
        check_name(found[-1])
        assert found[-1] != "signs"
        assert not found[-1].endswith("-synthetic")
    if found[0] == found[1]:
        letters = [
            [c for c in name.casefold() if c.isascii() and c.isalnum()] for name in (one, other)
        ]
        assert letters[0] == letters[1] or not (one + other).isascii() or "images" in found[0]


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("signs", {}, "`name` 'signs' is for the SIGNS photographs: choose another"),
        ("signs-synthetic", {}, "'signs-synthetic' is for drawn images: choose another"),
        ("signs", {"is_synthetic": True}, "of drawn images must end in -synthetic"),
    ],
)
def test_names_for_other_images(name, more, message):
    with pytest.raises(IngestError, match=message):
        dataset_name(name, surveyed("x", **more))


@pytest.mark.parametrize("name", ["Bad Name", "../up", "", "1st", "end-", "a" * 64, "a_b"])
def test_names_that_are_refused(tmp_path, name):
    with pytest.raises(IngestError, match=r"at most 63 lower-case letters, .* ending in a dash"):
        ingest(class_tree(tmp_path / "tree", 2), tmp_path / "root", name=name)
    assert not list((tmp_path / "root").glob("*"))


def test_a_name_of_ones_own(tmp_path):
    assert ingest(class_tree(tmp_path / "手势", 2), tmp_path, name="mine-2").name == "mine-2"
    assert ingest("synthetic:60", tmp_path, name="big-synthetic").name == "big-synthetic"
    assert dataset_name(None, surveyed("x", is_signs=True)) == "signs"


def test_one_name_is_for_one_set_of_classes(tmp_path):
    """Unless the user names it, another source is never the same data set with other classes."""
    root = tmp_path / "root"
    first = class_tree(tmp_path / "1" / "pets", 3)
    other = class_tree(tmp_path / "2" / "pets", 3, ("bird", "cat", "dog", "emu", "fox"))
    ingest(first, root)
    with pytest.raises(IngestError) as caught:
        ingest(other, root)
    assert str(caught.value).splitlines() == [
        "the data set 'pets' is there already, with other classes. One name is for one model.",
        "  there: cat, dog  (span 1, from folder pets: class folders)",
        "  here:  bird, cat, dog, emu and 1 more  (from folder pets: class folders)",
        "Keep them apart with another --name, or go on with these classes: --name pets",
    ]
    assert [path.name for path in Path(root, "pets").iterdir()] == ["span-1"]
    assert ingest(first, root).reused
    assert ingest(other, root, name="pets").span == 2
    assert ingest(other, root).reused  # what is there already is never refused
    with pytest.raises(IngestError, match="there: bird, cat"):
        ingest(first, root)
    assert ingest(first, root, name="pets").span == 3
