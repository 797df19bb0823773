"""What is told, with its numbers, and where it is listed."""

import json
from pathlib import Path

import pytest

from data.findings import Finding, of_classes, of_copies
from data.pictures import Picture

ENOUGH = {"train": 20, "eval": 1, "test": 5}


def told(**classes: tuple[int, int, int]) -> list[tuple[str, int, str]]:
    counts = {
        split: {name: numbers[index] for name, numbers in classes.items()}
        for index, split in enumerate(ENOUGH)
    }
    return [(one.kind, one.count, one.text) for one in of_classes(counts)]


def test_enough_of_everything_is_not_worth_a_word() -> None:
    assert told(a=(20, 1, 5), b=(100, 1, 5)) == []


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (
            {"a": (20, 1, 0), "b": (20, 1, 0), "c": (20, 1, 5)},
            [
                (
                    "class_without_test",
                    2,
                    "2 of 3 classes have no test images and are never evaluated: a, b",
                )
            ],
        ),
        (
            dict.fromkeys("abcd", (20, 0, 5)) | {"e": (0, 1, 5)},
            [
                (
                    "class_without_train",
                    1,
                    "1 of 5 classes has no train images and is never learned: e",
                ),
                ("class_without_eval", 4, "4 of 5 classes have no eval images: a, b, c, ..."),
            ],
        ),
        (
            {"a": (19, 1, 5), "b": (3, 1, 4), "c": (20, 1, 1)},
            [
                (
                    "class_of_few_train",
                    2,
                    "2 of 3 classes have fewer than 20 train images: b (3), a (19)",
                ),
                (
                    "class_of_few_test",
                    2,
                    "2 of 3 classes have fewer than 5 test images: c (1), b (4)",
                ),
                (
                    "imbalance",
                    2,
                    "the largest class has 6.7 times the train images of the smallest: c (20), "
                    "b (3)",
                ),
            ],
        ),
        (
            {"a": (0, 0, 5), "b": (0, 0, 5)},
            [
                (
                    "no_train",
                    2,
                    "there are no train images: nothing can be trained on this data, it is for "
                    "evaluation alone",
                ),
                ("no_eval", 2, "there are no eval images"),
            ],
        ),
        (
            {"a": (20, 1, 0), "b": (20, 1, 0)},
            [
                (
                    "no_test",
                    2,
                    "there are no test images: nobody evaluates what is trained on this data",
                )
            ],
        ),
    ],
)
def test_what_the_numbers_tell(
    classes: dict[str, tuple[int, int, int]], expected: list[tuple[str, int, str]]
) -> None:
    assert told(**classes) == expected


def group(*images: str) -> list[Picture]:
    """Images of one picture, each given as `split/class/name`."""
    return [Picture("d", image, *image.split("/")[:2]) for image in images]


def test_what_copies_tell_and_where_they_are_listed(tmp_path: Path) -> None:
    groups = [
        group("test/a/1", "test/a/2", "train/a/1", "eval/a/1"),
        group("eval/a/2", "train/a/2"),
        group("train/a/3", "train/a/4"),  # harmless
        group("test/a/5", "train/b/5"),
        group("test/a/6", "test/a/7"),  # harmless
    ]
    path = tmp_path / "findings.jsonl"
    assert of_copies(groups, {"train": 100, "eval": 10, "test": 1200}, path) == [
        Finding(
            "test_in_train",
            3,
            "3 of 1,200 test images are train or eval images, too: the score on them says nothing "
            "of new pictures",
            ("test/a/1 is train/a/1", "test/a/5 is train/b/5"),
        ),
        Finding(
            "eval_in_train",
            2,
            "2 of 10 eval images are train images, too: the curves look better than they are",
            ("eval/a/1 is train/a/1", "eval/a/2 is train/a/2"),
        ),
        Finding(
            "two_classes",
            1,
            "1 picture is under two classes, of which one must be wrong",
            ("test/a/5 is train/b/5",),
        ),
    ]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["source_id"] for line in lines] == [
        image.source_id for index in (0, 1, 3) for image in groups[index]
    ]
    assert lines[-1] == {
        "findings": ["test_in_train", "two_classes"],
        "digest": "d",
        "source_id": "train/b/5",
        "split": "train",
        "class_name": "b",
    }


def test_no_copies_leave_an_empty_list_and_many_are_shown_in_part(tmp_path: Path) -> None:
    path = tmp_path / "findings.jsonl"
    assert of_copies([], dict.fromkeys(ENOUGH, 9), path) == []
    assert path.read_text() == ""
    many = [group(f"test/a/{number}", f"train/a/{number}") for number in range(9)]
    (found,) = of_copies(many, dict.fromkeys(ENOUGH, 9), path)
    assert (found.count, len(found.examples)) == (9, 3)
    assert len(path.read_text().splitlines()) == 18
