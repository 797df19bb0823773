"""A folder of image files."""

import dataclasses
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from data import IngestError
from data.sources.layout import (
    Layout,
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
)
from signs.litter import litter

_DEEPEST = 50


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Images in folders that `data.sources.layout` understands; symbolic links are followed."""

    path: Path

    def survey(self, emit: Emit) -> Surveyed:
        """Lists the files in the order of their paths, and hashes them."""
        layout = detect(self._list_folder, f"the folder {self.path}")
        classes = set(layout.declared)
        fingerprint = hashlib.sha256()
        for parts, found in self._walk((), set()):
            if isinstance(found, Ignored):
                emit(found)
                continue
            entry = self._entry(layout, parts) if found is None else found
            digest = entry.digest if isinstance(entry, Item) else entry.reason
            fingerprint.update(f"{source_id(parts)}\0{digest}\n".encode())
            if isinstance(entry, Item):
                classes.add(entry.class_name)
            emit(entry)
        class_names = natural_order(classes)
        check_classes(class_names, f"the folder {self.path}")
        return Surveyed(
            name=self.path.resolve().name,
            description=f"folder {display_name(self.path.resolve().name)}",
            class_names=class_names,
            fingerprint=fingerprint.hexdigest(),
            proportions=layout.proportions,
        )

    def read(self, item: Item) -> bytes:
        """Reads a file, and checks that it has not changed since the survey."""
        raw = _read_file(self.path / str(item.reference))
        if hashlib.sha256(raw).hexdigest() != item.digest:
            raise UnreadableError("changed while it was ingested")
        return raw

    def close(self) -> None:
        """No file is kept open."""

    def _entry(self, layout: Layout, parts: Parts) -> Item | Rejection:
        path = self.path.joinpath(*parts)
        try:
            raw = _read_file(path)
            class_name, split = layout.place(parts)
        except (UnreadableError, MisplacedError) as err:
            return Rejection(source_id(parts), str(err))
        digest = hashlib.sha256(raw).hexdigest()
        return Item(source_id(parts), class_name, split, "/".join(parts), len(raw), digest)

    def _walk(
        self, parts: Parts, visited: set[tuple[int, int]]
    ) -> Iterator[tuple[Parts, Rejection | Ignored | None]]:
        """Yields every file below a folder, with what is wrong with it where that shows already.

        A folder is read once, however many links lead to it: links may form circles, or multiply
        a few folders to billions of paths.
        """
        folder = self.path.joinpath(*parts)
        try:
            status = folder.stat()
            names = sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths
        except OSError as err:
            yield parts, Rejection(source_id(parts), f"cannot be listed: {err.strerror}")
            return
        identity = (status.st_dev, status.st_ino)
        if identity in visited:
            yield parts, Rejection(source_id(parts), "a link to a folder that is read already")
            return
        if len(parts) > _DEEPEST:
            yield parts, Rejection(source_id(parts), f"more than {_DEEPEST} folders deep")
            return
        visited.add(identity)
        for name in names:
            inner = (*parts, name)
            if kind := litter((name,)):
                yield inner, Ignored(kind)
            elif folder.joinpath(name).is_dir():
                yield from self._walk(inner, visited)
            else:
                yield inner, None

    def _list_folder(self, parts: Parts) -> tuple[list[str], list[str]]:
        folder = self.path.joinpath(*parts)
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names, not paths
        except OSError as err:
            raise IngestError(f"cannot list the folder {folder}: {err.strerror}") from err
        folders = [name for name in names if folder.joinpath(name).is_dir()]
        return folders, sorted(set(names) - set(folders))


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
