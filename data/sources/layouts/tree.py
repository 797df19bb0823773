"""What lies in a source, by folder: numbers, and no list of files."""

import mimetypes
import os
from collections import Counter
from collections.abc import Iterator, Sequence

from data.sources.names import Parts, display_name, natural_order
from signs.images import SUFFIXES

PACKED = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z", ".zst"))
_SHOWN_FOLDERS = 6
_SHOWN_INNER = 3
_NAME_WIDTH = 44
# One picture or two beside class folders do not make a folder a class: one in ten does.
_FEW = 10


class Tree:
    """A folder.

    Attributes:
        folders: The folders in it, by name.
        images: The files in it that may be images.
        below: The same, at any depth.
        tables: The tables in it that say which class its images have.
        others: At the top: what else was found at any depth, by suffix.
        lists: At the top: some paths of other tables.
    """

    __slots__ = ("below", "by_suffix", "folders", "images", "lists", "others", "tables")

    def __init__(self, *, by_suffix: bool = True) -> None:
        """Makes an empty folder.

        Args:
            by_suffix: Whether only files with an image's suffix, or with none, count as images;
                else all whose suffix does not stand for something else.
        """
        self.by_suffix = by_suffix
        self.folders: dict[str, Tree] = {}
        self.images = 0
        self.below = 0
        self.tables: list[str] = []
        self.others = Counter[str]()
        self.lists: list[str] = []

    def add_folder(self, parts: Sequence[str], images: int = 0) -> "Tree":
        """Returns the folder of that path, made where it is not there; counts images below all."""
        tree = self
        tree.below += images
        for name in map(display_name, parts):
            inner = tree.folders.get(name)
            if inner is None:
                inner = tree.folders[name] = Tree()
            tree = inner
            tree.below += images
        return tree

    def add_file(self, parts: Parts) -> None:
        """Counts a file."""
        suffix = os.path.splitext(parts[-1])[1].lower()  # noqa: PTH122 - for each of millions
        if self._may_be_image(suffix):
            self.add_folder(parts[:-1], images=1).images += 1
            return
        self.add_folder(parts[:-1])
        self.others[suffix] += 1
        if suffix in (".csv", ".tsv", ".jsonl") and len(self.lists) < _SHOWN_INNER:
            self.lists.append(display_name("/".join(parts)))

    def _may_be_image(self, suffix: str) -> bool:
        # Exports of databases have no suffixes; a README has none either, and is one file.
        if not suffix or suffix in SUFFIXES:
            return True
        return not self.by_suffix and suffix not in PACKED and suffix not in mimetypes.types_map

    def at(self, parts: Parts) -> "Tree | None":
        """Returns the folder of that path, if it is there."""
        tree: Tree | None = self
        for name in parts:
            tree = tree.folders.get(name) if tree else None
        return tree

    @property
    def filled(self) -> "dict[str, Tree]":
        """The folders that hold images, be it deeper down."""
        return {name: inner for name, inner in self.folders.items() if inner.below}

    @property
    def is_leaf(self) -> bool:
        """Whether the images lie in the folder itself."""
        return self.images > 0 and self.images * _FEW >= self.below

    def drawn(self) -> str:
        """Returns the tree as text, shortened: folders with their numbers of images."""
        return "\n".join(self._lines("  ", _SHOWN_FOLDERS, 3))

    def _lines(self, indent: str, most: int, depth: int) -> Iterator[str]:
        names = natural_order(self.folders)
        for name in names[:most]:
            inner = self.folders[name]
            short = name if len(name) < _NAME_WIDTH - 12 else name[: _NAME_WIDTH - 15] + "..."
            yield f"{indent + short + '/':{_NAME_WIDTH}}{inner.in_words()}"
            if depth > 1:
                yield from inner._lines(indent + "  ", _SHOWN_INNER, depth - 1)
        if len(names) > most:
            more = len(names) - most
            yield f"{indent}... and {more:,} more folder{'s' if more > 1 else ''}"
        if indent == "  " and self.images:
            yield f"  {_images(self.images)} {'beside the folders' if names else 'in no folder'}"

    def in_words(self) -> str:
        """Returns the numbers of images in it and below it."""
        if self.images and self.below > self.images:
            return f"{_images(self.images)}, {self.below - self.images:,} below"
        return f"{_images(self.below)}{' below' if self.below and not self.images else ''}"


def _images(count: int) -> str:
    return "no images" if not count else "1 image" if count == 1 else f"{count:,} images"
