"""What a score on a data set hides: told at ingestion, and with every run on it.

    counts by split and class, groups of equal images -> Finding ... and findings.jsonl

findings.jsonl has a line for every image of a picture that lies in two splits or under two classes:
    {"findings": ["test_in_train"], "digest", "source_id", "split", "class_name"}
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from data.pictures import Picture
from signs.features import EVAL, TEST, TRAIN

# Fewer images of a class are too few to learn it from, or to judge it by.
FEW = {TRAIN: 20, TEST: 5}
MOST_IMBALANCE = 5  # times as many train images in the largest class as in the smallest
_SHOWN = 3
_NO_IMAGES = {
    TRAIN: ": nothing can be trained on this data, it is for evaluation alone",
    EVAL: "",
    TEST: ": nobody evaluates what is trained on this data",
}
_NEVER = {TRAIN: "learned", TEST: "evaluated"}
# By kind: the split whose images were seen before, where, and what that does.
_SEEN = {
    "test_in_train": (TEST, (TRAIN, EVAL), "the score on them says nothing of new pictures"),
    "eval_in_train": (EVAL, (TRAIN,), "the curves look better than they are"),
}
_NEARLY = {"test_near_train": "test_in_train", "eval_near_train": "eval_in_train"}
_TWO_CLASSES, _BURST = "two_classes", "test_in_burst"
# What is told of copies and neighbours: data.leaks looks closer, and tells more of them.
OF_COPIES = (*_SEEN, *_NEARLY, _BURST, _TWO_CLASSES)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that a reader of the scores should know.

    Attributes:
        kind: Names it for programs, such as `class_without_test`.
        count: How many classes, images or pictures it is about.
        text: In words, with numbers and, of classes, names.
        examples: A few of the pictures, in words.
    """

    kind: str
    count: int
    text: str
    examples: tuple[str, ...] = ()


def of_classes(counts: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    """Yields what the numbers of images tell.

    Args:
        counts: Images by split and class name; a split that is left out is not missed.
    """
    for split, classes in counts.items():
        if not any(classes.values()):
            text = f"there are no {split} images{_NO_IMAGES[split]}"
            yield Finding(f"no_{split}", len(classes), text)
            continue
        if without := [name for name, count in classes.items() if not count]:
            share = _share(len(without), len(classes))
            text = f"{share} no {split} images"
            if split in _NEVER:
                text += f" and {'is' if len(without) == 1 else 'are'} never {_NEVER[split]}"
            yield Finding(f"class_without_{split}", len(without), f"{text}: {_few(without)}")
        least = FEW.get(split, 0)
        if few := sorted((count, name) for name, count in classes.items() if 0 < count < least):
            share = _share(len(few), len(classes))
            named = _few([f"{name} ({count})" for count, name in few])
            text = f"{share} fewer than {least} {split} images: {named}"
            yield Finding(f"class_of_few_{split}", len(few), text)
    sizes = sorted((count, name) for name, count in counts.get(TRAIN, {}).items() if count)
    if sizes and sizes[-1][0] > MOST_IMBALANCE * sizes[0][0]:
        (least, small), (most, large) = sizes[0], sizes[-1]
        text = (
            f"the largest class has {most / least:.1f} times the train images of the smallest: "
            f"{large} ({most:,}), {small} ({least:,})"
        )
        yield Finding("imbalance", 2, text)


def of_copies(
    groups: Iterable[Sequence[Picture]], sizes: Mapping[str, int], path: Path
) -> list[Finding]:
    """Writes findings.jsonl and returns what it comes to.

    Args:
        groups: Images with equal bytes, picture by picture.
        sizes: Images by split.
        path: Of findings.jsonl.
    """
    counts: Counter[str] = Counter()
    examples: dict[str, list[tuple[Picture, Picture]]] = {}
    with path.open("w", encoding="utf-8") as file:
        for group in groups:
            kinds = []
            for kind, count, one, other in _in_group(group):
                kinds.append(kind)
                counts[kind] += count
                if len(told := examples.setdefault(kind, [])) < _SHOWN:
                    told.append((one, other))
            if kinds:
                file.writelines(_line(kinds, picture) for picture in group)
    return in_words(counts, examples, sizes)


def in_words(
    counts: Mapping[str, int],
    examples: Mapping[str, Sequence[tuple[Picture, Picture]]],
    sizes: Mapping[str, int],
) -> list[Finding]:
    """Returns what there is to tell of copies.

    Args:
        counts: By kind, how many images or pictures it is about.
        examples: By kind, pairs of images that are one picture; the first few are told.
        sizes: Images by split.
    """
    texts = {
        kind: f"{counts.get(kind, 0):,} of {sizes.get(split, 0):,} {split} images are "
        f"{' or '.join(earlier)} images, too: {words}"
        for kind, (split, earlier, words) in _SEEN.items()
    }
    for kind, equal in _NEARLY.items():
        split, earlier, words = _SEEN[equal]
        texts[kind] = (
            f"{counts.get(kind, 0):,} of {sizes.get(split, 0):,} {split} images are nearly "
            f"{' or '.join(earlier)} images: {words}"
        )
    texts[_BURST] = (
        f"{counts.get(_BURST, 0):,} of {sizes.get(TEST, 0):,} {TEST} images were taken right "
        f"before or after {TRAIN} or {EVAL} images: new pictures are harder"
    )
    number = counts.get(_TWO_CLASSES, 0)
    are = "picture is" if number == 1 else "pictures are"
    texts[_TWO_CLASSES] = f"{number:,} {are} under two classes, of which one must be wrong"
    return [
        Finding(
            kind,
            counts[kind],
            texts[kind],
            tuple(f"{a.source_id} is {b.source_id}" for a, b in examples.get(kind, ())[:_SHOWN]),
        )
        for kind in OF_COPIES
        if counts.get(kind)
    ]


def _in_group(group: Sequence[Picture]) -> Iterator[tuple[str, int, Picture, Picture]]:
    """Yields what the images of one picture tell: the kind, how many they are, two of them."""
    for kind, (split, earlier, _) in _SEEN.items():
        ones = [picture for picture in group if picture.split == split]
        before = [picture for picture in group if picture.split in earlier]
        if ones and before:
            yield kind, len(ones), ones[0], before[0]
    first = group[0]
    for other in group:
        if other.class_name != first.class_name:
            yield _TWO_CLASSES, 1, first, other
            return


def _line(kinds: Sequence[str], picture: Picture) -> str:
    line = {"findings": kinds, **dataclasses.asdict(picture)}
    return json.dumps(line, ensure_ascii=False) + "\n"


def _few(names: Sequence[str]) -> str:
    return ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])


def _share(some: int, all_: int) -> str:
    return f"{some:,} of {all_:,} classes {'has' if some == 1 else 'have'}"
