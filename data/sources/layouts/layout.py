"""What the folders of a source mean for each of its files.

classes        {class}/**
split classes  {split}/{class}/**
CS230          {train,val,test}_signs/{label}_IMG_{id}.jpg
no classes     **, where nobody asks for them
tables         metadata.csv or metadata.jsonl, one for all or one in each split's folder
"""

import dataclasses
import re
from collections.abc import Mapping

from data.sources.names import Parts, display_name
from data.splits import Proportions

_SIGNS_FILE = re.compile(r"([0-9]+)_IMG_.+", re.DOTALL)


class MisplacedError(ValueError):
    """A file whose place gives it no class; the text is the reason."""


class LeftOutError(ValueError):
    """A file in a folder that is no part of the data set; the text says which."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the folders of a source mean.

    Attributes:
        roots: The folders that hold the class folders, and the split of each: None where it is
            divided by content.
        left_out: Folders that are no part of the data set, and why.
        declared: The classes that have a folder, be it an empty one.
        proportions: How to divide what the folders do not divide, None if they do.
        in_words: What was understood, in words.
        is_signs: Whether names of files give the labels, as CS230's do.
        tables: The tables that give the labels, where there are some, with the split of each.
    """

    roots: Mapping[Parts, str | None]
    left_out: Mapping[Parts, str]
    declared: frozenset[str]
    proportions: Proportions | None
    in_words: str
    is_signs: bool = False
    tables: tuple[tuple[Parts, str | None], ...] = ()

    def place(self, parts: Parts) -> tuple[str, str | None]:
        """Returns the class of a file and its split, None for one that is divided by content.

        Raises:
            MisplacedError: The place of the file gives it no class.
            LeftOutError: Nobody is to miss the file.
        """
        folders = tuple(map(display_name, parts[:-1]))
        for root, split in self.roots.items():
            if folders[: len(root)] == root:
                return self._class_of(folders[len(root) :], parts[-1]), split
        for folder, reason in self.left_out.items():
            if folders[: len(folder)] == folder:
                raise LeftOutError(reason)
        if None in self.roots.values() and len(self.roots) == 1:
            (root,) = self.roots
            raise MisplacedError(f"outside the data folder {'/'.join(root)!r}")
        raise MisplacedError("not in a train, val or test folder")

    def _class_of(self, folders: Parts, name: str) -> str:
        if self.is_signs:
            match = _SIGNS_FILE.fullmatch(name)
            if not match:
                raise MisplacedError("its name does not give a label, as in 5_IMG_1234.jpg")
            return str(int(match[1]))
        if not folders:
            raise MisplacedError("not in a class folder")
        return folders[0]


class NoClasses(Layout):
    """Every file is an image of the one class that has no name."""

    def __init__(self) -> None:
        super().__init__({}, {}, frozenset(), None, "images")

    def place(self, parts: Parts) -> tuple[str, str | None]:
        """Returns no class and no split."""
        return "", None
