"""How folders of images say which class and split each one has; the same in a folder and a zip.

    CS230          {train,val,test}_signs/{label}_IMG_{id}.jpg
    split classes  {train,val,test}/{class}/**
    classes        {class}/**

Each may lie one folder deeper, as in the public zip.
"""

import dataclasses
import enum
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence

from data import IngestError
from data.splits import Proportions
from signs.features import EVAL, TEST, TRAIN
from signs.litter import litter

Parts = tuple[str, ...]
# Lists one folder of the source: the names of its folders and of its files.
ListFolder = Callable[[Parts], tuple[Sequence[str], Sequence[str]]]

_SPLITS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": EVAL,
    "valid": EVAL,
    "validation": EVAL,
    "eval": EVAL,
    "dev": EVAL,
    "test": TEST,
    "testing": TEST,
}
_SIGNS = re.compile(r"(train|val|dev|test)_signs")
_SIGNS_FILE = re.compile(r"([0-9]+)_IMG_.+", re.DOTALL)


class MisplacedError(ValueError):
    """A file whose place gives it no class; the text is the reason."""


class _Kind(enum.Enum):
    SIGNS = enum.auto()
    SPLIT_CLASSES = enum.auto()
    CLASSES = enum.auto()


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the folders of a source mean.

    Attributes:
        kind: One of the three layouts.
        prefix: The folder that wraps it all, if any.
        declared: The classes that have a folder, be it an empty one.
        proportions: How to divide what the folders do not divide, None if they do.
    """

    kind: _Kind
    prefix: Parts
    declared: frozenset[str]
    proportions: Proportions | None

    def place(self, parts: Parts) -> tuple[str, str | None]:
        """Returns the class of a file and its split, None for one that is divided by content.

        Raises:
            MisplacedError: The place of the file gives it no class.
        """
        if parts[: len(self.prefix)] != self.prefix:
            raise MisplacedError(f"outside the data folder {'/'.join(self.prefix)!r}")
        folders, name = parts[len(self.prefix) : -1], parts[-1]
        if self.kind is _Kind.CLASSES:
            if not folders:
                raise MisplacedError("not in a class folder")
            return display_name(folders[0]), None
        split = _split_of(folders[0]) if folders else None
        if split is None:
            raise MisplacedError("not in a train, val or test folder")
        if self.kind is _Kind.SIGNS:
            match = _SIGNS_FILE.fullmatch(name)
            if not match:
                raise MisplacedError("its name does not give a label, as in 5_IMG_1234.jpg")
            class_name = str(int(match[1]))
        elif len(folders) < 2:
            raise MisplacedError("not in a class folder")
        else:
            class_name = display_name(folders[1])
        return class_name, None if split == TRAIN and self.proportions else split


def detect(list_folder: ListFolder, where: str) -> Layout:
    """Finds out what the folders of a source mean.

    Args:
        list_folder: Lists one folder of the source.
        where: The source, for messages.

    Raises:
        IngestError: There are no folders.
    """
    prefix: Parts = ()
    folders, files = _list_data(list_folder, prefix)
    if len(folders) == 1 and not files and not _split_of(folders[0]):
        inner_folders, _ = _list_data(list_folder, (folders[0],))
        if inner_folders:
            prefix, folders = (folders[0],), inner_folders
    if not folders:
        what = f"only files, such as {files[0]!r}" if files else "nothing"
        raise IngestError(
            f"{where} holds {what}. Expected one folder per class, "
            "or CS230's train_signs/5_IMG_1234.jpg."
        )
    is_signs = any(_SIGNS.fullmatch(name) for name in folders)
    splits = [name for name in folders if _split_of(name)]
    if not is_signs and TRAIN not in map(_split_of, splits) and len(splits) < len(folders):
        declared = frozenset(map(display_name, folders))
        return Layout(_Kind.CLASSES, prefix, declared, Proportions.missing(()))
    proportions = Proportions.missing({split for name in splits if (split := _split_of(name))})
    if is_signs:
        return Layout(_Kind.SIGNS, prefix, frozenset(), proportions)
    declared = frozenset(
        display_name(name)
        for split in splits
        for name in _list_data(list_folder, (*prefix, split))[0]
    )
    return Layout(_Kind.SPLIT_CLASSES, prefix, declared, proportions)


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


def _split_of(folder: str) -> str | None:
    name = folder.casefold()
    match = _SIGNS.fullmatch(name)
    return _SPLITS.get(match[1] if match else name)


def _list_data(list_folder: ListFolder, parts: Parts) -> tuple[list[str], list[str]]:
    """Lists a folder without its litter."""
    folders, files = list_folder(parts)
    return [n for n in sorted(folders) if not litter((n,))], [
        n for n in sorted(files) if not litter((n,))
    ]
