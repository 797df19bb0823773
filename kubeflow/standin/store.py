"""An object store made of files: `minio://bucket/key` lies at `{root}/minio/bucket/key`.

It keeps what KFP's launcher moves, as it moves it (backend/src/v2/objectstore/object_store.go,
UploadBlob and DownloadBlob): files only. A folder without files is lost on the way.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from kubeflow.object_store import IN_WORDS, SCHEME
from pipeline.environment import Workspace
from signs import durable

_URI = re.compile(rf"{SCHEME}(?P<bucket>[^/?]+)/?(?P<key>[^?]*)$")


class StoreError(RuntimeError):
    """An object cannot be stored or fetched."""


def store_of(workspace: Workspace) -> "Store":
    """The store that the runs of a workspace share."""
    return Store(workspace.root.resolve() / "kubeflow" / "store")


class Store:
    """Objects below one folder. Each appears whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, uri: str) -> Path:
        """Where the object (or all objects whose keys go on after it) lies.

        Raises:
            StoreError: it is no URI of a bucket, or its key leaves the bucket.
        """
        match = _URI.match(uri)
        if match is None:
            raise StoreError(
                f"not the URI of an object: it must begin with {IN_WORDS}BUCKET. Received: {uri!r}"
            )
        scheme, bucket, key = match.groups()
        if ".." in (bucket, *key.split("/")):
            raise StoreError(f"the URI leaves its bucket: {uri!r}")
        return self.root / scheme / bucket / key

    def upload(self, local: Path, uri: str) -> None:
        """Stores a file, or each file below a folder.

        Raises:
            FileNotFoundError: there is nothing at `local`.
            OSError: it cannot be read or written, for example since the disk is full.
        """
        target = self.path(uri)
        if not local.is_dir():
            self._put(local, target)
            return
        for entry in sorted(local.iterdir()):
            # As in Go, whose directory listing does not follow links.
            if entry.is_dir() and not entry.is_symlink():
                self.upload(entry, f"{uri}/{entry.name}")
            else:
                self._put(entry, target / entry.name)

    def download(self, uri: str, local: Path) -> None:
        """Copies the object to `local`, or those below it into a folder there.

        Where there is none, nothing happens, and nothing appears at `local`.
        """
        source = self.path(uri)
        for file in self.files(uri):
            target = local / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    def files(self, uri: str) -> Iterator[Path]:
        """The objects at and below a URI, by key."""
        path = self.path(uri)
        if path.is_file():
            yield path
        else:
            yield from sorted(entry for entry in path.rglob("*") if entry.is_file())

    def _put(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        # One run uses the store at a time, so that one name is enough; what a killed run leaves
        # there is written over.
        aside = self.root / ".uploading"
        try:
            shutil.copyfile(source, aside)
            durable.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)
