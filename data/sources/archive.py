"""A zip archive of image files; nothing is unpacked to the disk."""

import dataclasses
import functools
import stat
import zipfile
import zlib
from pathlib import Path

from data import IngestError
from data.sources.layout import (
    Layout,
    ListFolder,
    MisplacedError,
    Parts,
    detect,
    display_name,
    natural_order,
    source_id,
)
from data.sources.source import (
    MAX_FILE_BYTES,
    Emit,
    Ignored,
    Item,
    Rejection,
    Surveyed,
    UnreadableError,
    check_classes,
    file_sha256,
)
from signs.litter import litter

SIGNS_SHA256 = "83c747d0be0cb1f478c72f62f1dbb7e7b971e5f852ac614cefbf12a6fe75adac"
_ENCRYPTED = 0x1  # bit of the general purpose flags


@dataclasses.dataclass(frozen=True)
class ArchiveSource:
    """Images in a zip, in folders that `data.sources.layout` understands.

    The directory of the archive is held in memory: half a kilobyte per entry.
    """

    path: Path

    def survey(self, emit: Emit) -> Surveyed:
        """Lists the entries in the order of the archive's directory."""
        digest = file_sha256(self.path)
        archive = _open(self.path)
        entries = archive.infolist()
        layout = detect(_folders(entries), f"the archive {self.path}")
        classes, seen = set(layout.declared), set[Parts]()
        for index, entry in enumerate(entries):
            parts = _parts(entry)
            if kind := litter(parts):
                emit(Ignored(kind))
            elif entry.is_dir():
                emit(Ignored("directory"))
            else:
                found = _entry(layout, index, entry, parts in seen)
                seen.add(parts)
                if isinstance(found, Item):
                    classes.add(found.class_name)
                emit(found)
        class_names = natural_order(classes)
        check_classes(class_names, f"the archive {self.path}")
        return Surveyed(
            name=self.path.stem,
            description=f"zip {display_name(self.path.name)}",
            class_names=class_names,
            fingerprint=digest,
            proportions=layout.proportions,
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


def _parts(entry: zipfile.ZipInfo) -> Parts:
    """Returns the path of an entry; Windows tools write backslashes."""
    return tuple(
        part for part in entry.filename.replace("\\", "/").split("/") if part not in ("", ".")
    )


def _entry(
    layout: Layout, index: int, entry: zipfile.ZipInfo, is_repeated: bool
) -> Item | Rejection:
    parts = _parts(entry)
    name = source_id(parts)
    if reason := _refusal(entry, parts, is_repeated):
        return Rejection(name, reason)
    try:
        class_name, split = layout.place(parts)
    except MisplacedError as err:
        return Rejection(name, str(err))
    return Item(name, class_name, split, index, entry.file_size)


def _refusal(entry: zipfile.ZipInfo, parts: Parts, is_repeated: bool) -> str | None:
    path = entry.filename.replace("\\", "/")
    if path.startswith("/") or ".." in parts or path[1:2] == ":":
        return "points outside the archive"
    if is_repeated:
        return "a second entry of this name"
    if entry.flag_bits & _ENCRYPTED:
        return "encrypted"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "a symbolic link"
    if entry.file_size > MAX_FILE_BYTES:
        return f"{entry.file_size:,} bytes are more than {MAX_FILE_BYTES:,} (a zip bomb?)"
    return None


def _folders(entries: list[zipfile.ZipInfo]) -> ListFolder:
    """Returns a function that lists one folder of the archive."""
    tree: dict[Parts, tuple[set[str], set[str]]] = {(): (set(), set())}
    for entry in entries:
        parts = _parts(entry)
        if _refusal(entry, parts, is_repeated=False) or not parts:
            continue
        folders = parts if entry.is_dir() else parts[:-1]
        for depth, name in enumerate(folders):
            tree.setdefault(parts[:depth], (set(), set()))[0].add(name)
            tree.setdefault(parts[: depth + 1], (set(), set()))
        if not entry.is_dir():
            tree[parts[:-1]][1].add(parts[-1])

    def list_folder(parts: Parts) -> tuple[list[str], list[str]]:
        folders, files = tree.get(parts, (set(), set()))
        return sorted(folders), sorted(files)

    return list_folder
