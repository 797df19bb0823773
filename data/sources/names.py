"""Names that people gave: as text, in order, and the split that a name speaks of."""

import functools
import re
import unicodedata
from collections.abc import Collection

from signs.features import EVAL, TEST, TRAIN

Parts = tuple[str, ...]  # a path within a source

_SPLITS = {
    "train": TRAIN,
    "trn": TRAIN,
    "val": EVAL,
    "valid": EVAL,
    "validate": EVAL,
    "validation": EVAL,
    "eval": EVAL,
    "evaluation": EVAL,
    "dev": EVAL,
    "test": TEST,
    "tst": TEST,
}
# What a name may add to such a word without a gap: trainset, testing, traindata.
_ENDINGS = re.compile(r"(ing|ings|s)?(sets?|data|dataset|images?|imgs?|pictures?|photos?|split)?")
_WORDS = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])")


def split_of(name: str) -> str | None:
    """Returns the split that a name speaks of: `seg_train`, `TestSet`, `val2017`.

    None if it has no word for a split, or words for two, as `trainval` and `train_test` have.
    """
    found = {split for word in _WORDS.findall(name) for split in _splits_in(word.casefold())}
    return found.pop() if len(found) == 1 else None


def _splits_in(word: str) -> set[str]:
    for known, split in _SPLITS.items():
        rest = word.removeprefix(known)
        if rest != word and _ENDINGS.fullmatch(rest):
            return {split}
        if rest != word and rest in _SPLITS:
            return {split, _SPLITS[rest]}
    return set()


@functools.lru_cache(maxsize=4096)
def display_name(name: str) -> str:
    """Returns a name as text: one form of accents (a Mac has another), no stray bytes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", text)


def source_id(parts: Parts) -> str:
    """Returns a path as text; stray bytes are spelled out."""
    return "/".join(parts).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def natural_order(names: Collection[str]) -> tuple[str, ...]:
    """Returns names sorted as people count: 2 before 10."""

    def key(name: str) -> tuple[list[tuple[str, int]], str]:
        # Text and numbers take turns, text first.
        pieces = re.split(r"([0-9]+)", name.casefold())
        return [(text, 0) if i % 2 == 0 else ("", int(text)) for i, text in enumerate(pieces)], name

    return tuple(sorted(names, key=key))
