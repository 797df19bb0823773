"""What was found, as groups of pictures, as numbers, and in words.

lines of data.leaks.find -> read_lines -> Found -> groups.jsonl
                                                -> Leaks -> leaks.json, notes
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self, TypeAlias

from data.findings import Finding, in_words
from data.leaks.bursts import WITHIN
from data.pictures import Picture
from signs.features import EVAL, SPLITS, TEST, TRAIN

Pictures: TypeAlias = Sequence[Picture]
TRAINED_ON = (TRAIN, EVAL)  # a final model is trained on both


@dataclasses.dataclass(frozen=True)
class Group:
    """Images that show one picture.

    Attributes:
        kind: "exact" if all of them have the same pixels.
        pictures: Two or more, in the order of their source ids.
    """

    kind: Literal["exact", "near"]
    pictures: tuple[Picture, ...]

    def to_line(self) -> str:
        """Returns a line of groups.jsonl."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Reads what `to_line` returned."""
        fields = json.loads(line)
        return cls(fields["kind"], tuple(Picture(**one) for one in fields["pictures"]))


@dataclasses.dataclass(frozen=True)
class Copies:
    """Numbers of copies. What is trained on is train and eval.

    Attributes:
        test_images_with_twin_in_train: Test images of which a copy is trained on.
        eval_images_with_twin_in_train: Eval images of which a copy is in train.
        duplicate_pairs_within_train: Pairs of copies among what is trained on.
        duplicate_pairs_within_test: Pairs of copies among the test images.
    """

    test_images_with_twin_in_train: int = 0
    eval_images_with_twin_in_train: int = 0
    duplicate_pairs_within_train: int = 0
    duplicate_pairs_within_test: int = 0


@dataclasses.dataclass(frozen=True)
class Burst:
    """Numbers of neighbours in a burst.

    Attributes:
        photographs: Images whose names have a camera's number.
        test_images_with_neighbour_in_train: Test images with one that is trained on.
        within: So many numbers apart.
    """

    photographs: int = 0
    test_images_with_neighbour_in_train: int = 0
    within: int = WITHIN


@dataclasses.dataclass(frozen=True)
class Conflicts:
    """Pictures under two labels: of equal pixels, and of similar ones."""

    exact: int = 0
    near: int = 0


@dataclasses.dataclass(frozen=True)
class Leaks:
    """What of a data set makes scores look better than they are, in numbers.

    Attributes:
        images: By split.
        exact: Images with equal pixels.
        near: Images that show the same in other pixels; equal ones are not counted again.
        burst: Photographs taken one right after the other.
        label_conflicts: Pictures under two labels.
        dropped: Train and eval images that were left out for it.
        findings: The same in words, for a summary.
    """

    images: dict[str, int]
    exact: Copies
    near: Copies
    burst: Burst
    label_conflicts: Conflicts
    dropped: int = 0
    findings: tuple[Finding, ...] = ()


@dataclasses.dataclass(frozen=True)
class Found:
    """The lines of `data.leaks.find`, sorted by what they tell.

    Attributes:
        images: By split.
        exact: Groups of pictures with equal pixels.
        near: Pairs of similar pictures; of equal ones, one stands for all.
        burst: Photographs with a number, and test images with a neighbour.
    """

    images: dict[str, int]
    exact: tuple[tuple[Picture, ...], ...]
    near: tuple[tuple[Picture, Picture], ...]
    burst: tuple[int, int]


def read_lines(lines: Iterable[str]) -> Found:
    """Sorts the lines that `data.leaks.find` gave, in whatever order they came."""
    images: Counter[str] = Counter()
    exact, near, burst = [], [], (0, 0)
    for line in lines:
        [(kind, value)] = json.loads(line).items()
        match kind:
            case "images":
                images.update(value)
            case "exact":
                exact.append(tuple(Picture(*one) for one in value))
            case "near":
                first, second = (Picture(*one) for one in value)
                near.append((first, second))
            case "burst":
                burst = (value[0], value[1])
    by_name = {split: images[split] for split in SPLITS if images[split]}
    return Found(by_name, tuple(sorted(exact, key=_first)), tuple(sorted(near, key=_first)), burst)


def groups(found: Found) -> Iterator[Group]:
    """Yields the groups: what is linked by equal or similar pictures, in whatever steps."""
    members = {group[0].digest: group for group in found.exact}
    roots: dict[str, str] = {}

    def root_of(digest: str) -> str:
        while (above := roots.setdefault(digest, digest)) != digest:
            roots[digest] = roots[above]  # halves the way of the next
            digest = roots[digest]
        return digest

    for digest in members:
        root_of(digest)
    for one, two in found.near:
        for each in (one, two):
            members.setdefault(each.digest, (each,))
        first, second = sorted((root_of(one.digest), root_of(two.digest)))
        roots[second] = first
    linked: dict[str, list[str]] = {}
    for digest in members:
        linked.setdefault(root_of(digest), []).append(digest)
    for digests in linked.values():
        pictures = [picture for digest in digests for picture in members[digest]]
        pictures.sort(key=lambda picture: picture.source_id)
        yield Group("exact" if len(digests) == 1 else "near", tuple(pictures))


def count(found: Found) -> Leaks:
    """Returns the numbers and the notes."""
    equal = {group[0].digest: group for group in found.exact}
    pairs = [
        tuple(equal.get(each.digest, (each,)) for each in (first, second))
        for first, second in found.near
    ]
    neighbours: dict[str, tuple[Pictures, list[Picture]]] = {}
    for one, two in pairs:
        for own, other in ((one, two), (two, one)):
            neighbours.setdefault(own[0].digest, (own, []))[1].extend(other)
    exact = _copies([(group, group) for group in found.exact])
    near = _copies(neighbours.values())
    leaks = Leaks(
        images=found.images,
        exact=Copies(
            *exact,
            *(
                sum(_pairs(_in(group, *splits)) for group in found.exact)
                for splits in (TRAINED_ON, (TEST,))
            ),
        ),
        near=Copies(
            *near,
            *(
                sum(_in(one, *splits) * _in(two, *splits) for one, two in pairs)
                for splits in (TRAINED_ON, (TEST,))
            ),
        ),
        burst=Burst(*found.burst),
        label_conflicts=Conflicts(
            sum(map(_conflict, found.exact)), sum(_conflict((*one, *two)) for one, two in pairs)
        ),
    )
    return dataclasses.replace(leaks, findings=_findings(leaks, found))


def _copies(clusters: Iterable[tuple[Pictures, Pictures]]) -> list[int]:
    """How many images of test, and of eval, have a copy where it does harm.

    Args:
        clusters: Images, and what they are copies of.
    """
    held = [(own, others) for own, others in clusters if _in(own, TEST, EVAL)]
    return [
        sum(_in(own, split) for own, others in held if _in(others, *known))
        for split, known in ((TEST, TRAINED_ON), (EVAL, (TRAIN,)))
    ]


def twin_kinds(
    groups: Iterable[Group], split: str, known: Sequence[str]
) -> dict[str, Literal["exact", "near"]]:
    """Returns what kind of copy images have in other splits, by their source ids.

    Args:
        groups: All of them.
        split: Whose images.
        known: The other splits.
    """
    kinds: dict[str, Literal["exact", "near"]] = {}
    for group in groups:
        digests = {picture.digest for picture in group.pictures if picture.split in known}
        for picture in group.pictures:
            if digests and picture.split == split:
                kinds[picture.source_id] = "exact" if picture.digest in digests else "near"
    return kinds


def read_groups(path: Path) -> Iterator[Group]:
    """Yields what groups.jsonl holds."""
    with path.open(encoding="utf-8") as lines:
        yield from map(Group.from_line, lines)


def _findings(leaks: Leaks, found: Found) -> tuple[Finding, ...]:
    conflicts = leaks.label_conflicts
    counts = {
        "test_in_train": leaks.exact.test_images_with_twin_in_train,
        "eval_in_train": leaks.exact.eval_images_with_twin_in_train,
        "test_near_train": leaks.near.test_images_with_twin_in_train,
        "eval_near_train": leaks.near.eval_images_with_twin_in_train,
        "test_in_burst": leaks.burst.test_images_with_neighbour_in_train,
        "two_classes": conflicts.exact + conflicts.near,
    }
    examples = {
        "test_in_train": _examples(found.exact, TEST, TRAINED_ON),
        "eval_in_train": _examples(found.exact, EVAL, (TRAIN,)),
        "test_near_train": _examples(found.near, TEST, TRAINED_ON),
        "eval_near_train": _examples(found.near, EVAL, (TRAIN,)),
        "two_classes": [
            (one, other)
            for one, *others in filter(_conflict, (*found.exact, *found.near))
            for other in [each for each in others if each.class_name != one.class_name][:1]
        ],
    }
    return tuple(in_words(counts, examples, leaks.images))


def _examples(
    groups: Iterable[Pictures], split: str, known: Sequence[str]
) -> list[tuple[Picture, Picture]]:
    return [
        (ones[0], others[0])
        for group in groups
        if (ones := [picture for picture in group if picture.split == split])
        and (others := [picture for picture in group if picture.split in known])
    ]


def _in(group: Pictures, *splits: str) -> int:
    return sum(picture.split in splits for picture in group)


def _pairs(number: int) -> int:
    return number * (number - 1) // 2


def _conflict(group: Pictures) -> bool:
    return len({picture.class_name for picture in group}) > 1


def _first(group: Pictures) -> tuple[str, str]:
    return group[0].source_id, group[1].source_id
