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
_TWO_CLASSES = "two_classes"


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
    examples: dict[str, list[str]] = {kind: [] for kind in (*_SEEN, _TWO_CLASSES)}
    with path.open("w", encoding="utf-8") as file:
        for group in groups:
            kinds = []
            for kind, count, example in _in_group(group):
                kinds.append(kind)
                counts[kind] += count
                if len(examples[kind]) < _SHOWN:
                    examples[kind].append(example)
            if kinds:
                file.writelines(_line(kinds, picture) for picture in group)
    texts = {
        kind: f"{counts[kind]:,} of {sizes[split]:,} {split} images are {' or '.join(earlier)} "
        f"images, too: {words}"
        for kind, (split, earlier, words) in _SEEN.items()
    }
    number = counts[_TWO_CLASSES]
    are = "picture is" if number == 1 else "pictures are"
    texts[_TWO_CLASSES] = f"{number:,} {are} under two classes, of which one must be wrong"
    return [
        Finding(kind, counts[kind], text, tuple(examples[kind]))
        for kind, text in texts.items()
        if counts[kind]
    ]


def _in_group(group: Sequence[Picture]) -> Iterator[tuple[str, int, str]]:
    """Yields what the images of one picture tell: the kind, how many they are, one of them."""
    for kind, (split, earlier, _) in _SEEN.items():
        ones = [picture for picture in group if picture.split == split]
        before = [picture for picture in group if picture.split in earlier]
        if ones and before:
            yield kind, len(ones), f"{ones[0].source_id} is {before[0].source_id}"
    first = group[0]
    for other in group:
        if other.class_name != first.class_name:
            yield _TWO_CLASSES, 1, f"{first.source_id} is {other.source_id}"
            return


def _line(kinds: Sequence[str], picture: Picture) -> str:
    line = {"findings": kinds, **dataclasses.asdict(picture)}
    return json.dumps(line, ensure_ascii=False) + "\n"


def _few(names: Sequence[str]) -> str:
    return ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])


def _share(some: int, all_: int) -> str:
    return f"{some:,} of {all_:,} classes {'has' if some == 1 else 'have'}"
