"""A further test set has the model's classes, and nothing but test images."""

from pathlib import Path

import pytest

from data import IngestError
from data.converting.convert import ingest
from data.test_set import sources_by_name
from tests.data.images import class_tree, jpeg, samples, write_tree

MODEL = ("dog", "cat", "emu")  # in the order of its labels, which is no source's


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits of its own, a class that the model lacks, and none of a class that it has."""
    root = tmp_path_factory.mktemp("photos")
    files = {
        f"{split}/{name}/{number}.jpg": jpeg(100 * at + 10 * of + number)
        for at, split in enumerate(("train", "val", "test"))
        for of, name in enumerate(("bird", "cat", "dog"))
        for number in range(2)
    }
    return write_tree(root, files)


def test_classes_are_matched_by_name_and_all_is_test(tree: Path, tmp_path: Path) -> None:
    found = ingest(tree, tmp_path, name="customer", test_for=MODEL)
    assert found.manifest.class_names == MODEL
    assert found.manifest.counts == {
        "train": {"dog": 0, "cat": 0, "emu": 0},
        "eval": {"dog": 0, "cat": 0, "emu": 0},
        "test": {"dog": 6, "cat": 6, "emu": 0},
    }
    assert {(one.class_name, one.label, one.split) for one in samples(found)} == {
        ("dog", 0, "test"),
        ("cat", 1, "test"),
    }
    assert {one.source_id.split("/")[0] for one in samples(found)} == {"train", "val", "test"}
    assert found.manifest.ignored == {"of class 'bird', which the model does not know": 6}
    # It misses no training images; of what it lacks a reader of the scores should know.
    assert [one.text for one in found.manifest.findings] == [
        "1 of 3 classes has no test images and is never evaluated: emu"
    ]


def test_it_is_found_again_and_is_another_for_other_classes(tree: Path, tmp_path: Path) -> None:
    first = ingest(tree, tmp_path, name="customer", test_for=MODEL)
    assert ingest(tree, tmp_path, name="customer", test_for=MODEL).reused
    other = ingest(tree, tmp_path, name="customer", test_for=("bird", "cat"))
    assert (first.span, first.version) == (1, 1)
    assert (other.span, other.version, other.reused) == (1, 2, False)
    itself = ingest(tree, tmp_path, name="customer")  # a data set of its own
    assert (itself.version, itself.manifest.split_size("train")) == (3, 6)


def test_a_source_of_other_classes_is_told_with_both(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(IngestError) as caught:
        ingest(tree, tmp_path, name="customer", test_for=("0", "1"))
    assert str(caught.value).splitlines() == [
        f"{tree.name} has none of the model's classes, which are matched by name.",
        "  the model's: 0, 1",
        "  here:        bird, cat, dog",
    ]
    assert not (tmp_path / "customer").exists()


@pytest.mark.real_data
def test_hands_that_show_no_sign_are_passed_over(other_hands: Path, tmp_path: Path) -> None:
    manifest = ingest(other_hands, tmp_path, name="h", test_for=tuple("543210")).manifest
    counts = {"5": 104, "4": 104, "3": 103, "2": 102, "1": 103, "0": 103}
    assert list(manifest.counts["test"].items()) == list(counts.items())
    assert manifest.ignored == {"of class 'no_sign', which the model does not know": 415}


def test_many_other_classes_are_counted_together(tmp_path: Path) -> None:
    names = tuple(f"class {number:02d}" for number in range(25))
    tree = class_tree(tmp_path / "tree", 1, ("cat", *names))
    ignored = ingest(tree, tmp_path / "root", name="c", test_for=("cat", "dog")).manifest.ignored
    assert len(ignored) == 21
    assert ignored["of other classes, which the model does not know"] == 5


@pytest.mark.parametrize("source", ["synthetic:12", "table"])
def test_any_source_will_do(source: str, tmp_path: Path) -> None:
    if source == "table":
        tree = class_tree(tmp_path / "tree", 2, ("4", "5"))
        (tree / "labels.csv").write_text("path,label\n4/0.jpg,4\n5/0.jpg,5\n5/1.jpg,x\n")
        source = str(tree / "labels.csv")
    name = "c-synthetic" if source == "synthetic:12" else "c"
    found = ingest(source, tmp_path / "root", name=name, test_for=("5", "4", "0"))
    assert {(one.class_name, one.label) for one in samples(found)} >= {("5", 0), ("4", 1)}
    assert {one.split for one in samples(found)} == {"test"}


def test_names_are_given_or_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("Other Hands", "a=b", "signs"):
        (tmp_path / name).mkdir()
    (tmp_path / "shop.zip").touch()
    (tmp_path / "shop.v2.zip").touch()
    specs = ["Other Hands/", "shop.zip", "shop.v2.zip", "mine=shop.zip", "a=b", "b=a=b", "./signs"]
    assert dict(sources_by_name([*specs, "synthetic:60", "x-synthetic=synthetic"])) == {
        "other-hands": "Other Hands/",
        "shop": "shop.zip",
        "shop-v2": "shop.v2.zip",
        "mine": "shop.zip",
        "a-b": "a=b",
        "b": "a=b",
        "images-signs": "./signs",
        "signs-synthetic": "synthetic:60",
        "x-synthetic": "synthetic",
    }
    assert sources_by_name(["signs"]) == {"signs": "signs"}


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["nowhere/"], "there is no 'nowhere/'. Expected synthetic, "),
        (["mine=nowhere"], "there is no 'nowhere'. Expected synthetic, "),
        (["mine="], "there is no ''. Expected synthetic, "),
        (["Mine=synthetic"], "`name` must be at most 63 lower-case letters"),
        (["=synthetic"], "`name` must be at most 63 lower-case letters"),
        (["test=synthetic"], "--also-test test=synthetic: 'test' is a split of the data set"),
        (["手势"], "no name for a further test set can be made of '手势': give one, as in"),
        (
            ["synthetic:60", "synthetic:90"],
            "two further test sets are called 'signs-synthetic': synthetic:60 and synthetic:90. "
            "Name one of them, as in --also-test more-signs-synthetic=synthetic:90",
        ),
    ],
)
def test_names_that_cannot_be(
    specs: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "手势").mkdir()
    with pytest.raises(IngestError) as caught:
        sources_by_name(specs)
    assert str(caught.value).startswith(message)
