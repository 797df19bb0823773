import pytest

from data import IngestError
from data.sources.layout import MisplacedError, detect, natural_order


def listing(*paths):
    """A tree in memory; a path that ends in a slash is an empty folder."""

    def list_folder(parts):
        folders, files = set(), set()
        for path in paths:
            *inner, name = path.split("/")
            depth = len(parts)
            if tuple(inner[:depth]) != parts:
                continue
            if len(inner) > depth:
                folders.add(inner[depth])
            elif name:
                files.add(name)
        return sorted(folders), sorted(files)

    return list_folder


def place(path, *paths):
    return detect(listing(*paths), "the folder").place(tuple(path.split("/")))


CS230 = ("w/train_signs/5_IMG_1.jpg", "w/val_signs/0_IMG_2.jpg", "w/test_signs/1_IMG_3.jpg")
SPLITS = ("train/cat/1.jpg", "Valid/cat/2.jpg", "test/dog/3.jpg")
CLASSES = ("cat/1.jpg", "dog/old/deep/2.jpg")


@pytest.mark.parametrize(
    ("path", "paths", "expected"),
    [
        (CS230[0], CS230, ("5", "train")),
        (CS230[1], CS230, ("0", "eval")),
        (CS230[2], CS230, ("1", "test")),
        ("w/train_signs/3_IMG_6237 (1).jpg", CS230, ("3", "train")),
        ("w/train_signs/12_IMG_7.jpg", CS230, ("12", "train")),
        (SPLITS[0], SPLITS, ("cat", "train")),
        (SPLITS[1], SPLITS, ("cat", "eval")),
        (SPLITS[2], SPLITS, ("dog", "test")),
        ("train/cat/x/y/1.jpg", SPLITS, ("cat", "train")),
        (CLASSES[0], CLASSES, ("cat", None)),
        (CLASSES[1], CLASSES, ("dog", None)),
        # Train alone, or without eval: what is missing comes out of train, and only out of it.
        ("train/a/1.jpg", ("train/a/1.jpg", "train/b/1.jpg"), ("a", None)),
        ("train/a/1.jpg", ("train/a/1.jpg", "test/a/1.jpg"), ("a", None)),
        ("test/a/1.jpg", ("train/a/1.jpg", "test/a/1.jpg"), ("a", "test")),
        # A wrapping folder counts as one only if it holds folders.
        ("all/cat/1.jpg", ("all/cat/1.jpg", "all/dog/1.jpg", ".DS_Store"), ("cat", None)),
        # Classes may be called like splits as long as none is train.
        ("test/1.jpg", ("test/1.jpg", "cat/1.jpg"), ("test", None)),
    ],
)
def test_place(path, paths, expected):
    assert place(path, *paths) == expected


@pytest.mark.parametrize(
    ("path", "paths", "reason"),
    [
        ("w/train_signs/hand.jpg", CS230, "its name does not give a label, as in 5_IMG_1234.jpg"),
        ("w/other/5_IMG_1.jpg", CS230, "not in a train, val or test folder"),
        ("w/README.txt", CS230, "not in a train, val or test folder"),
        ("train/1.jpg", SPLITS, "not in a class folder"),
        ("extra/cat/1.jpg", SPLITS, "not in a train, val or test folder"),
        ("1.jpg", CLASSES, "not in a class folder"),
    ],
)
def test_misplaced(path, paths, reason):
    with pytest.raises(MisplacedError) as caught:
        place(path, *paths, path)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("paths", "found"), [((), "holds nothing"), (("a.jpg",), "holds only files, such as 'a.jpg'")]
)
def test_no_folders(paths, found):
    with pytest.raises(IngestError, match=found) as caught:
        detect(listing(*paths), "the folder x")
    assert "Expected one folder per class" in str(caught.value)


def test_declared_classes_include_empty_folders():
    assert detect(listing("a/1.jpg", "b/"), "x").declared == {"a", "b"}
    paths = ("train/a/1.jpg", "train/b/", "test/c/1.jpg")
    assert detect(listing(*paths), "x").declared == {"a", "b", "c"}


def test_natural_order():
    names = ["10", "2", "b10", "b9", "1", "B2", "ä", "²", "b", ""]
    assert natural_order(names) == ("", "1", "2", "10", "b", "B2", "b9", "b10", "²", "ä")
    assert natural_order(["a", "A"]) == natural_order(["A", "a"]) == ("A", "a")
