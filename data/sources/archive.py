"""A zip archive of image files; nothing is unpacked to the disk."""

import dataclasses
import functools
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

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
    file_sha256,
)
from data.sources.table import METADATA, has_labels, labelled
from data.sources.zip_names import read_names
from data.splits import Proportions
from signs.litter import litter

SIGNS_SHA256 = "83c747d0be0cb1f478c72f62f1dbb7e7b971e5f852ac614cefbf12a6fe75adac"
_ENCRYPTED = 0x1  # bit of the general purpose flags


@dataclasses.dataclass(frozen=True)
class ArchiveSource:
    """Images in a zip, in folders that `data.sources.layouts` understands.

    The directory of the archive is held in memory: half a kilobyte per entry.

    Attributes:
        path: The archive.
        answers: What the user says of it.
    """

    path: Path
    answers: Answers = NO_ANSWERS

    def survey(self, emit: Emit) -> Surveyed:
        """Lists the entries in the order of the archive's directory, or of its tables."""
        emit(Progress(f"Reading {display_name(self.path.name)}", 0))
        digest = file_sha256(self.path)
        listed = _list(self.path, self.answers.zip_encoding)
        tree = _tree(self.path, listed)
        if not tree.below:
            tree = _tree(self.path, listed, by_suffix=False)
        layout = detect(tree, f"the archive {self.path}", self.answers)
        classes, proportions = set(layout.declared), layout.proportions
        entries: Iterator[Item | Rejection | Ignored]
        if layout.tables:
            proportions, entries = _labelled(self.path, listed, layout, tree)
        else:
            entries = _placed(listed, layout)
        for entry in entries:
            if isinstance(entry, Item):
                classes.add(entry.class_name)
            emit(entry)
        return Surveyed(
            name=display_name(self.path.stem),
            description=f"zip {display_name(self.path.name)}: {layout.in_words}",
            class_names=natural_order(classes),
            fingerprint=digest,
            proportions=proportions,
            is_signs=digest == SIGNS_SHA256,
        )

    def read(self, item: Item) -> bytes:
        """Reads an entry; its checksum is checked on the way."""
        archive = _open(self.path)
        try:
            entry = archive.infolist()[int(item.reference)]
            with archive.open(entry) as file:
                raw = file.read(MAX_FILE_BYTES + 1)
                # Beyond its declared size an entry is not read, and fails its checksum.
                file.read(1)
        except NotImplementedError as err:
            raise UnreadableError(f"compressed in a way that cannot be read: {err}") from err
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as err:
            reason = " ".join(str(err).split()) or type(err).__name__
            raise UnreadableError(f"damaged in the archive: {reason}") from err
        if len(raw) != entry.file_size:
            raise UnreadableError(
                f"damaged in the archive: {len(raw)} bytes where {entry.file_size} were declared"
            )
        return raw

    def close(self) -> None:
        """Closes the archives that are open in this process."""
        _open_unchanged.cache_clear()


# Kept open, because reading the directory of an archive takes longer than reading an image.
@functools.lru_cache(maxsize=4)
def _open_unchanged(path: Path, size: int, changed_ns: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _open(path: Path) -> zipfile.ZipFile:
    try:
        status = path.stat()
        return _open_unchanged(path, status.st_size, status.st_mtime_ns)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as err:
        reason = err.strerror if isinstance(err, OSError) and err.strerror else err
        raise IngestError(
            f"{path} is not a zip archive that can be read: {reason}. Download it again?"
        ) from err


_Listed = Sequence[tuple[zipfile.ZipInfo, str]]


def _list(path: Path, encoding: str | None) -> _Listed:
    """Returns the entries of an archive with their names."""
    entries = _open(path).infolist()
    return list(zip(entries, read_names(entries, encoding, path), strict=True))


def _parts(name: str) -> Parts:
    """Returns the path of an entry: Windows writes backslashes, a Mac another form of accents."""
    path = unicodedata.normalize("NFC", name).replace("\\", "/")
    return tuple(part for part in path.split("/") if part not in ("", "."))


def _tree(path: Path, listed: _Listed, *, by_suffix: bool = True) -> Tree:
    """Returns what lies in the archive; encrypted files count, for their folders tell as much."""
    tree = Tree(by_suffix=by_suffix)
    for entry, name in listed:
        parts = _parts(name)
        if not parts or litter(parts):
            continue
        reason = _refusal(entry, name, parts)
        if reason and not entry.flag_bits & _ENCRYPTED:
            tree.others[f"({reason})"] += 1
        elif entry.is_dir():
            tree.add_folder(parts)
        elif parts[-1] in METADATA and not reason and _has_labels(path, entry):
            tree.add_folder(parts[:-1]).tables.append(parts[-1])
        else:
            tree.add_file(parts)
    return tree


def _has_labels(path: Path, entry: zipfile.ZipInfo) -> bool:
    with _open_entry(path, entry) as file:
        return has_labels(file, entry.filename)


def _open_entry(path: Path, entry: zipfile.ZipInfo) -> BinaryIO:
    try:
        return cast(BinaryIO, _open(path).open(entry))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as err:
        raise IngestError(f"cannot read {entry.filename} in {path}: {err}") from err


def _placed(listed: _Listed, layout: Layout) -> Iterator[Item | Rejection | Ignored]:
    """Yields all entries, each in the place that its folders give it."""
    seen = set[Parts]()
    for index, (entry, name) in enumerate(listed):
        parts = _parts(name)
        if kind := litter(parts):
            yield Ignored(kind)
        elif entry.is_dir():
            yield Ignored("directory")
        else:
            repeated = "a second entry of this name" if parts in seen else None
            yield _entry(layout, index, entry, name, repeated)
            seen.add(parts)


def _labelled(
    path: Path, listed: _Listed, layout: Layout, tree: Tree
) -> tuple[Proportions | None, Iterator[Item | Rejection | Ignored]]:
    """Returns how to divide what the tables of an archive name, and what that is."""
    places: dict[Parts, int] = {}
    for index, (entry, name) in enumerate(listed):
        if not entry.is_dir() and not litter(_parts(name)):
            places.setdefault(_parts(name), index)
    proportions, rows = labelled(
        layout.tables, lambda table: _open_entry(path, listed[places[table]][0])
    )

    def entries() -> Iterator[Item | Rejection | Ignored]:
        named = 0
        for row in rows:
            if isinstance(row, Rejection):
                yield row
                continue
            index = places.get(_parts("/".join(row.path)))
            if index is None:
                yield Rejection(source_id(row.path), "no such file")
                continue
            named += 1
            entry, name = listed[index]
            parts = _parts(name)
            reason = _refusal(entry, name, parts)
            yield (
                Rejection(source_id(parts), reason)
                if reason
                else Item(source_id(parts), row.class_name, row.split, index, entry.file_size)
            )
        for _ in range(tree.below - named):
            yield Ignored("in no table")

    return proportions, entries()


def _entry(
    layout: Layout, index: int, entry: zipfile.ZipInfo, name: str, refusal: str | None
) -> Item | Rejection | Ignored:
    parts = _parts(name)
    if reason := refusal or _refusal(entry, name, parts):
        return Rejection(source_id(parts), reason)
    try:
        class_name, split = layout.place(parts)
    except LeftOutError as err:
        return Ignored(str(err))
    except MisplacedError as err:
        return Rejection(source_id(parts), str(err))
    return Item(source_id(parts), class_name, split, index, entry.file_size)


def _refusal(entry: zipfile.ZipInfo, name: str, parts: Parts) -> str | None:
    path = name.replace("\\", "/")
    if path.startswith("/") or ".." in parts or path[1:2] == ":":
        return "points outside the archive"
    if len(parts) > DEEPEST:
        return f"more than {DEEPEST} folders deep"
    if entry.flag_bits & _ENCRYPTED:
        return "encrypted"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "a symbolic link"
    if entry.file_size > MAX_FILE_BYTES:
        return f"{entry.file_size:,} bytes are more than {MAX_FILE_BYTES:,} (a zip bomb?)"
    return None
