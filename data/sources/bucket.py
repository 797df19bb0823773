"""Images in an object store: a copy is kept here, and brought up to date before it is read.

    s3://bucket/photos -> {cache}/s3-bucket-1a2b3c4d/photos/

Only what is new or has changed is fetched, and what is gone there goes here. What is kept is read
like any other folder or file. PyArrow speaks to the stores, with the keys, the region and the
address that their own programs take from the environment.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from data import IngestError
from data.sources import table
from signs import durable

if TYPE_CHECKING:
    from pyarrow import fs

_SCHEMES = ("s3", "gs")
_IS_ADDRESS = re.compile(rf"(?:{'|'.join(_SCHEMES)})://")
_ADDRESS = re.compile(
    r"(?P<scheme>\w+)://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]*)/*(?P<key>.*)", re.S
)
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a file of them, "
    "AWS_SHARED_CREDENTIALS_FILE), AWS_REGION, and AWS_ENDPOINT_URL of another store than Amazon's",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, a file",
}
_AT_ONCE = 16
_BLOCK = 1 << 20
_CONNECT_S, _ANSWER_S, _RETRY_S = 10.0, 60.0, 60.0
_LONGEST_NAME = 255  # bytes
_PARTS = ".parts"

Progress = Callable[[int, int | None], None]


@dataclasses.dataclass(frozen=True)
class Address:
    """A folder or an object of a bucket.

    Attributes:
        scheme: `s3` or `gs`.
        bucket: Its name.
        key: Without a slash at either end; empty for all of the bucket.
    """

    scheme: str
    bucket: str
    key: str

    @classmethod
    def parse(cls, spec: str) -> Self:
        """Reads `s3://bucket/key`.

        Raises:
            IngestError: It is none, or has keys in it.
        """
        spec = spec.strip()
        if "@" in spec.partition("://")[2].partition("/")[0]:
            raise IngestError(  # which is not to be repeated
                "an address of an object store has no keys in it: "
                f"{spec.partition('://')[0]}://BUCKET/FOLDER. They are {_keys(spec)}"
            )
        if not (found := _ADDRESS.fullmatch(spec)):
            raise IngestError(f"{spec!r} names no bucket. Expected s3://BUCKET/FOLDER or gs://")
        key = found["key"].rstrip("/")
        if key and any(map(_is_no_name, key.split("/"))):
            raise IngestError(f"{spec!r} cannot be kept in folders: a part of it is no name of one")
        return cls(found["scheme"], found["bucket"], key)

    @property
    def name(self) -> str:
        """Of the folder or the file."""
        return self.key.rpartition("/")[2] or self.bucket

    @property
    def parent(self) -> Self:
        """The folder that it lies in."""
        return dataclasses.replace(self, key=self.key.rpartition("/")[0])

    @property
    def path(self) -> str:
        """As PyArrow names it."""
        return f"{self.bucket}/{self.key}".rstrip("/")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"


def is_address(spec: str | Path) -> bool:
    """Whether it names something in an object store."""
    return isinstance(spec, str) and _IS_ADDRESS.match(spec.strip()) is not None


def check(spec: str) -> None:
    """Raises IngestError unless there is something at an address; none of it is read."""
    address = Address.parse(spec)
    _find(_store(address), address)


def kept_in(spec: str, cache: Path) -> Path:
    """Returns the folder that the copy lies in, which is this address's alone."""
    address = Address.parse(spec)
    digest = hashlib.sha256(str(address).encode()).hexdigest()[:8]
    return cache / f"{address.scheme}-{address.bucket}-{digest}"


def fetch(spec: str, cache: Path, progress: Progress | None = None) -> Path:
    """Brings the copy of a folder or an object up to date; of a table, with the folder it is in.

    What breaks off loses nothing: the next call goes on. Each file is whole or not there.

    Args:
        spec: `s3://bucket/key`.
        cache: Where to keep it.
        progress: Called with the bytes that have come.

    Returns:
        The copy of what `spec` names.

    Raises:
        IngestError: There is nothing, it may not be read, it cannot be had as files, or the store
            does not answer.
        OSError: It cannot be written here.
    """
    address = Address.parse(spec)
    place = kept_in(spec, cache)
    place.mkdir(parents=True, exist_ok=True)
    with durable.lock(place / ".lock"):
        copy = _Copy(_store(address), address, place / _PARTS, progress or (lambda *_: None))
        try:
            if Path(address.name).suffix.lower() in table.SUFFIXES:
                folder = place / address.parent.name
                _find(copy.store, address)
                copy.folder(address.parent.path, folder)
                return folder / address.name
            target = place / address.name
            found = _find(copy.store, address)
            if found.is_file and found.size:
                copy.file(found, target)
            else:
                copy.folder(address.path, target)
            return target
        finally:
            shutil.rmtree(copy.parts, ignore_errors=True)


class _Copy:
    """Copies of one store's objects; what is fetched lies in `parts` until it is whole."""

    def __init__(
        self, store: "fs.FileSystem", address: Address, parts: Path, progress: Progress
    ) -> None:
        self.store, self.address, self.parts = store, address, parts
        self._progress, self._lock, self._done = progress, threading.Lock(), 0
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir()

    def folder(self, path: str, target: Path) -> None:
        """Makes a folder here what it is there."""
        waiting = [(path, target)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while waiting:
                path, target = waiting.pop()
                folders, files = self._listed(path)
                _make_room(target, folders, files)
                waiting += [(one.path, target / name) for name, one in folders.items()]
                for _ in pool.map(self.file, files.values(), map(target.joinpath, files)):
                    pass  # raises what a thread has raised

    def _listed(self, path: str) -> "tuple[dict[str, fs.FileInfo], dict[str, fs.FileInfo]]":
        """Folders and objects of a folder, by name."""
        from pyarrow import fs

        with _asking(self.address):
            found = self.store.get_file_info(fs.FileSelector(path))
        for one in found:
            # Of a key `photos//1.jpg` PyArrow tells a folder `photos/` in `photos`.
            if _is_no_name(one.base_name) or one.path != f"{path}/{one.base_name}":
                raise IngestError(
                    f"{self.address.scheme}://{path} has a key that cannot be kept in folders: "
                    f"a part of it, {one.path[len(path) + 1 :]!r}, is no name of one"
                )
        folders = {one.base_name: one for one in found if not one.is_file}
        files = {one.base_name: one for one in found if one.is_file}
        for name in folders.keys() & files.keys():
            # An empty object of a folder's name marks that there is one.
            if files.pop(name).size:
                raise IngestError(
                    f"{self.address.scheme}://{path}/{name} is an object, and there are others "
                    "below it: that cannot be kept in a folder"
                )
        return folders, files

    def file(self, found: "fs.FileInfo", target: Path) -> None:
        """Fetches an object, unless it is here as it is there."""
        if target.is_dir():
            shutil.rmtree(target)
        with contextlib.suppress(FileNotFoundError):
            here = target.stat()
            if (here.st_size, here.st_mtime_ns) == (found.size, found.mtime_ns):
                return
        part = self.parts / secrets.token_hex(8)
        with part.open("xb") as file:
            for block in self._blocks(found):
                file.write(block)
        os.utime(part, ns=(found.mtime_ns, found.mtime_ns))
        durable.replace(part, target)

    def _blocks(self, found: "fs.FileInfo") -> Iterator[bytes]:
        here = 0
        with _asking(self.address), self.store.open_input_stream(found.path) as stream:
            while block := stream.read(_BLOCK):
                yield block
                here += len(block)
                with self._lock:
                    self._done += len(block)
                    self._progress(self._done, None)
        if here != found.size:
            raise IngestError(
                f"{self.address.scheme}://{found.path} changed while it was fetched: {here:,} "
                f"bytes came of {found.size:,}. Try again"
            )


def _make_room(folder: Path, folders: dict[str, Any], files: dict[str, Any]) -> None:
    """Makes a folder in which nothing is that does not belong there."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        folder.mkdir()
    for entry in folder.iterdir():
        if entry.name not in files and entry.name not in folders:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _find(store: "fs.FileSystem", address: Address) -> "fs.FileInfo":
    from pyarrow import fs

    with _asking(address):
        found = store.get_file_info(address.path)
    if found.type == fs.FileType.NotFound:
        raise IngestError(f"there is nothing at {address}")
    return found


def _store(address: Address) -> "fs.FileSystem":
    from pyarrow import fs

    with _asking(address):
        if address.scheme == "gs":
            return fs.GcsFileSystem(retry_time_limit=datetime.timedelta(seconds=_RETRY_S))
        return fs.S3FileSystem(
            endpoint_override=os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL"),
            connect_timeout=_CONNECT_S,
            request_timeout=_ANSWER_S,
        )


@contextlib.contextmanager
def _asking(address: Address) -> Iterator[None]:
    """Tells what a store answers in one error."""
    import pyarrow

    try:
        yield
    except (OSError, ImportError, pyarrow.ArrowException) as err:
        raise IngestError(
            f"cannot read {address}: {str(err).rstrip('. ')}. What has come is kept, and the next "
            f"try continues.\nIts keys are {_keys(str(address))}"
        ) from err


def _keys(address: str) -> str:
    return f"taken from the environment: {_KEYS.get(address.partition('://')[0], _KEYS['s3'])}"


def _is_no_name(part: str) -> bool:
    return part in ("", ".", "..") or "\0" in part or len(os.fsencode(part)) > _LONGEST_NAME
