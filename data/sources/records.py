"""TFRecord files of tf.train.Examples, gzipped or not: a span, or what others have written.

{image: encoded image, source_id: where it came from, if that is known}

They are read where nobody asks for classes: a data set is ingested from its images.
"""

import dataclasses
import gzip
import hashlib
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.message import DecodeError

from data import IngestError
from data.sources.names import display_name
from data.sources.source import (
    Emit,
    Item,
    Progress,
    Rejection,
    Surveyed,
    UnreadableError,
    file_sha256,
)
from signs import features, protos, records
from signs.images import SUFFIXES

_SUFFIXES = (".tfrecord", ".tfrecords", ".tfrecord.gz", ".tfrecords.gz")
_GZIP = b"\x1f\x8b"
_BETWEEN = "\0"  # of a reference: the file's name and the record's number
_place = threading.local()  # where this thread reads: (reference of the last record, the others)


def record_files(path: Path) -> tuple[str, ...]:
    """Returns the TFRecord files that a path names, or that lie below it, relative to it.

    Raises:
        IngestError: Images lie below it as well.
    """
    if path.is_file():
        return (".",) if path.name.lower().endswith(_SUFFIXES) else ()
    found, image = [], None
    for folder, _, names in os.walk(path):
        for name in names:
            if name.lower().endswith(_SUFFIXES):
                found.append(os.path.relpath(os.path.join(folder, name), path))  # noqa: PTH118
            elif os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122 - of millions
                image = name
    if found and image:
        raise IngestError(
            f"the folder {path} holds TFRecord files, as {found[0]}, and images, as {image}: name "
            "what is meant"
        )
    return tuple(sorted(found))


@dataclasses.dataclass(frozen=True)
class RecordsSource:
    """The examples of files, in the order of the files' names.

    Attributes:
        path: A file, or a folder.
        files: Of the folder; "." is the file itself.
    """

    path: Path
    files: Sequence[str]

    def survey(self, emit: Emit) -> Surveyed:
        """Lists every record; behind a damaged one nothing of its file can be found."""
        fingerprint = hashlib.sha256()
        for name in self.files:
            file = self.path / name
            emit(Progress(f"Reading {file.name}", 0))
            fingerprint.update(f"{name}\0{file_sha256(file)}\n".encode())
            number = -1
            try:
                for number, record in enumerate(_records(file)):
                    where = f"{file.name if name == '.' else name}[{number}]"
                    emit(_listed(record, where, f"{name}{_BETWEEN}{number}"))
            except (OSError, EOFError, zlib.error, records.RecordError) as err:
                emit(Rejection(f"{name}[{number + 1}]", f"damaged in the file: {err}"))
        return Surveyed(
            name=display_name(self.path.name),
            description=f"TFRecords {display_name(self.path.name)}",
            class_names=(),
            fingerprint=fingerprint.hexdigest(),
        )

    def read(self, item: Item) -> bytes:
        """Returns the image of a record: fast where records are read one after the other."""
        name, _, number = str(item.reference).partition(_BETWEEN)
        key = (self.path / name, int(number))
        try:
            before, following = getattr(_place, "at", (None, iter(())))
            if before != (key[0], key[1] - 1):
                following = _records(key[0])
                for _ in range(key[1]):
                    next(following)
            record = next(following)
        except (OSError, EOFError, zlib.error, records.RecordError, StopIteration) as err:
            raise UnreadableError(f"damaged in the file: {err}") from err
        _place.at = (key, following)
        return _feature(record, features.IMAGE) or b""

    def close(self) -> None:
        """Lets go of the file that this thread reads."""
        _place.__dict__.clear()


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        is_packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if is_packed:
            with gzip.open(file) as unpacked:
                yield from records.decode(unpacked)
        else:
            yield from records.decode(file)


def _listed(record: bytes, where: str, reference: str) -> Item | Rejection:
    try:
        if _feature(record, features.IMAGE) is None:
            return Rejection(where, f"its example has no {features.IMAGE!r}")
        named = _feature(record, features.SOURCE_ID)
    except DecodeError:
        return Rejection(where, "no tf.train.Example")
    name = named.decode(errors="backslashreplace") if named else where
    return Item(name, "", None, reference, len(record))


def _feature(record: bytes, name: str) -> bytes | None:
    values = protos.Example.FromString(record).features.feature
    found = values[name].bytes_list.value if name in values else ()
    return bytes(found[0]) if found else None
