"""Groups and numbers from the lines of a search."""

import json

from data.leaks.report import Copies, Group, count, groups, read_lines, twin_kinds
from data.pictures import Picture


def picture(digest: str, source_id: str) -> list[str]:
    """An image given as `split/class/name`."""
    split, class_name, _ = source_id.split("/")
    return [digest, source_id, split, class_name]


LINES = [
    json.dumps(line)
    for line in (
        {"images": {"test": 4}},
        {"images": {"train": 9}},
        {"images": {"eval": 3}},
        {"exact": [picture("a", one) for one in ("test/x/1", "test/x/2", "train/x/3")]},
        {"near": [picture("a", "test/x/1"), picture("b", "eval/x/4")]},
        {"near": [picture("b", "eval/x/4"), picture("c", "train/y/5")]},
        {"near": [picture("d", "train/x/6"), picture("e", "train/x/7")]},
        {"burst": [16, 2]},
    )
]


def test_what_is_linked_in_steps_is_one_group() -> None:
    found = {tuple(one.source_id for one in group.pictures) for group in groups(read_lines(LINES))}
    assert found == {
        ("eval/x/4", "test/x/1", "test/x/2", "train/x/3", "train/y/5"),
        ("train/x/6", "train/x/7"),
    }


def test_the_order_of_the_lines_does_not_matter() -> None:
    assert read_lines(reversed(LINES)) == read_lines(LINES)
    assert count(read_lines(reversed(LINES))) == count(read_lines(LINES))


def test_a_copy_of_equal_images_counts_for_each_of_them() -> None:
    found = count(read_lines(LINES))
    assert found.images == {"train": 9, "eval": 3, "test": 4}
    assert found.exact == Copies(
        test_images_with_twin_in_train=2,
        eval_images_with_twin_in_train=0,
        duplicate_pairs_within_train=0,
        duplicate_pairs_within_test=1,
    )
    assert found.near == Copies(
        test_images_with_twin_in_train=2,  # both are near eval/x/4
        eval_images_with_twin_in_train=1,
        duplicate_pairs_within_train=3,  # 3 and 4, 4 and 5, 6 and 7
        duplicate_pairs_within_test=0,
    )
    assert (found.label_conflicts.exact, found.label_conflicts.near) == (0, 1)
    assert found.burst.test_images_with_neighbour_in_train == 2
    assert [(one.kind, one.count) for one in found.findings] == [
        *(("test_in_train", 2), ("test_near_train", 2), ("eval_near_train", 1)),
        *(("test_in_burst", 2), ("two_classes", 1)),
    ]


def test_nothing_was_found() -> None:
    found = read_lines(['{"images": {"train": 2}}'])
    assert not [*groups(found)]
    assert count(found).exact == count(found).near == Copies()
    assert count(found).findings == ()


def test_a_group_is_read_as_it_was_written() -> None:
    group = Group("near", (Picture("a", "ä\n.png", "test", "x"), Picture("b", "b", "train", "y")))
    assert group.to_line().count("\n") == 1
    assert Group.from_line(group.to_line()) == group


def test_the_twins_of_a_split() -> None:
    found = [*groups(read_lines(LINES))]
    assert twin_kinds(found, "test", ("train", "eval")) == dict.fromkeys(
        ("test/x/1", "test/x/2"), "exact"
    )
    assert twin_kinds(found, "eval", ("train",)) == {"eval/x/4": "near"}
    assert twin_kinds(found, "train", ("test",)) == {"train/x/3": "exact", "train/y/5": "near"}
