"""A folder of image files."""

import dataclasses
import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from data import IngestError
from data.sources.layouts.answers import NO_ANSWERS, Answers
from data.sources.layouts.detection import detect
from data.sources.layouts.layout import Layout, LeftOutError, MisplacedError
from data.sources.layouts.tree import Tree
from data.sources.names import Parts, display_name, natural_order, source_id
from data.sources.source import (
    DEEPEST,
    MAX_FILE_BYTES,
    Emit,
    Ignored,
    Item,
    Progress,
    Rejection,
    Surveyed,
    UnreadableError,
)
from data.sources.table import METADATA, Row, has_labels, labelled
from signs.litter import litter

# Tables of these names are called as the folder is that they lie in.
_PLAIN_NAMES = frozenset(("labels", "label", "metadata", "annotations", "data", "index", "train"))


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Images in folders that `data.sources.layouts` understands; symbolic links are followed.

    Attributes:
        path: The folder.
        answers: What the user says of it.
        table: The name of a table in the folder that says all, where the user names one.
    """

    path: Path
    answers: Answers = NO_ANSWERS
    table: str | None = None

    def survey(self, emit: Emit) -> Surveyed:
        """Lists the files in the order of their paths, or of a table, and hashes them."""
        tree, layout = self._layout(emit)
        classes, fingerprint, images = set(layout.declared), hashlib.sha256(), 0
        proportions = layout.proportions
        entries: Iterator[Item | Rejection | Ignored | Progress]
        if layout.tables:
            proportions, rows = labelled(layout.tables, self._open)
            entries = map(self._labelled, rows)
        else:
            entries = self._placed(layout)
        for entry in entries:
            if isinstance(entry, Rejection):
                fingerprint.update(f"{entry.source_id}\0{entry.reason}\n".encode())
            elif isinstance(entry, Item):
                # A table may say another class of the same file.
                told = f"\0{entry.class_name}\0{entry.split}" if layout.tables else ""
                fingerprint.update(f"{entry.source_id}\0{entry.digest}{told}\n".encode())
                classes.add(entry.class_name)
                images += 1
            emit(entry)
        if layout.tables:
            for _ in range(tree.below - images):
                emit(Ignored("in no table"))
        name = self.path.resolve().name
        if self.table and Path(self.table).stem.casefold() not in _PLAIN_NAMES:
            name = Path(self.table).stem
        return Surveyed(
            name=name,
            description=f"folder {display_name(self.path.resolve().name)}: {layout.in_words}",
            class_names=natural_order(classes),
            fingerprint=fingerprint.hexdigest(),
            proportions=proportions,
        )

    def read(self, item: Item) -> bytes:
        """Reads a file, and checks that it has not changed since the survey."""
        raw = _read_file(self.path / str(item.reference))
        if hashlib.sha256(raw).hexdigest() != item.digest:
            raise UnreadableError("changed while it was ingested")
        return raw

    def close(self) -> None:
        """No file is kept open."""

    def _layout(self, emit: Emit) -> tuple[Tree, Layout]:
        """Looks at the folders, before any file is read."""
        if self.table:
            tables = (((self.table,), None),)
            return Tree(), Layout({}, {}, frozenset(), None, self.table, tables=tables)
        tree = self._tree(emit)
        if not tree.below:
            tree = self._tree(emit, by_suffix=False)
        return tree, detect(tree, f"the folder {self.path}", self.answers)

    def _tree(self, emit: Emit, *, by_suffix: bool = True) -> Tree:
        tree = Tree(by_suffix=by_suffix)
        for files, (parts, found) in enumerate(self._walk((), set())):
            if isinstance(found, _Folder):
                tree.add_folder(parts)
                emit(Progress(f"Listing {source_id(parts) or self.path.name}", files))
            elif found is None and parts[-1] in METADATA and self._has_labels(parts):
                tree.add_folder(parts[:-1]).tables.append(parts[-1])
            elif found is None:
                tree.add_file(parts)
        return tree

    def _has_labels(self, parts: Parts) -> bool:
        with self._open(parts) as file:
            return has_labels(file, parts[-1])

    def _open(self, parts: Parts) -> BinaryIO:
        path = self.path.joinpath(*parts)
        try:
            return path.open("rb")
        except OSError as err:
            raise IngestError(f"cannot read {path}: {err.strerror}") from err

    def _placed(self, layout: Layout) -> Iterator[Item | Rejection | Ignored | Progress]:
        """Yields all files, each in the place that its folders give it."""
        for parts, found in self._walk((), set()):
            if isinstance(found, _Folder):
                yield Progress(f"Reading {source_id(parts) or self.path.name}", 0)
            elif found is not None:
                yield found
            else:
                try:
                    yield self._item(parts, *layout.place(parts))
                except LeftOutError as err:
                    yield Ignored(str(err))
                except (UnreadableError, MisplacedError) as err:
                    yield Rejection(source_id(parts), str(err))

    def _labelled(self, row: Row | Rejection) -> Item | Rejection:
        """Returns the file of a row; its name may be written with another form of accents."""
        if isinstance(row, Rejection):
            return row
        forms = (row.path, *(_normalised(row.path, form) for form in ("NFC", "NFD")))
        path = next((form for form in forms if os.path.lexists(self.path.joinpath(*form))), None)
        if path is None:
            return Rejection(source_id(row.path), "no such file")
        try:
            return self._item(path, row.class_name, row.split)
        except UnreadableError as err:
            return Rejection(source_id(path), str(err))

    def _item(self, parts: Parts, class_name: str, split: str | None) -> Item:
        raw = _read_file(self.path.joinpath(*parts))
        digest = hashlib.sha256(raw).hexdigest()
        return Item(source_id(parts), class_name, split, "/".join(parts), len(raw), digest)

    def _walk(
        self, parts: Parts, visited: set[tuple[int, int]]
    ) -> "Iterator[tuple[Parts, Rejection | Ignored | _Folder | None]]":
        """Yields every folder and every file below it, with what is wrong where that shows already.

        A folder is read once, however many links lead to it: links may form circles, or multiply
        a few folders to billions of paths.
        """
        folder = self.path.joinpath(*parts)
        try:
            status = folder.stat()
            with os.scandir(folder) as found:
                entries = sorted((entry.name, _is_folder(entry)) for entry in found)
        except OSError as err:
            yield parts, Rejection(source_id(parts), f"cannot be listed: {err.strerror}")
            return
        identity = (status.st_dev, status.st_ino)
        if identity in visited:
            yield parts, Rejection(source_id(parts), "a link to a folder that is read already")
            return
        if len(parts) > DEEPEST:
            yield parts, Rejection(source_id(parts), f"more than {DEEPEST} folders deep")
            return
        visited.add(identity)
        yield parts, _Folder()
        for name, is_folder in entries:
            inner = (*parts, name)
            if kind := litter((name,)):
                yield inner, Ignored(kind)
            elif is_folder:
                yield from self._walk(inner, visited)
            else:
                yield inner, None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that form a circle, or lead to where one may not look
        return False


class _Folder:
    """What stands for a folder among its files."""


def _normalised(parts: Parts, form: Literal["NFC", "NFD"]) -> Parts:
    return tuple(unicodedata.normalize(form, part) for part in parts)


def _read_file(path: Path) -> bytes:
    """Reads a regular file of a sane size; anything else might never end."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableError(f"{status.st_size:,} bytes are more than {MAX_FILE_BYTES:,}")
        return path.read_bytes()
    except FileNotFoundError as err:
        reason = "a symbolic link to nothing" if path.is_symlink() else "gone while it was ingested"
        raise UnreadableError(reason) from err
    except OSError as err:
        raise UnreadableError(f"cannot be read: {err.strerror}") from err
