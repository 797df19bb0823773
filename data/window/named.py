"""pictures.jsonl.gz beside a span's manifest: which pictures of its source the span names.

    ["5d41402a...", "cat/1.jpg", "cat", 0]        is held, in the first of the manifest's shards
    ["7d793037...", "cat/2.jpg", "truncated", null]   cannot be used, and why
    ["900150983...", null, null, null]            was held by a span before, and is gone

The first is half of the SHA-256 of the picture as the source has it, before it is converted: what
is known already is not converted to be compared.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

from data import IngestError
from signs.features import PICTURES

_DIGITS = 32
_GZIP_LEVEL = 6


class Named(NamedTuple):
    """A picture that a span names.

    Attributes:
        content: Names it, in hexadecimal; copies share it.
        source_id: Where it came from; None where it is gone.
        text: Its class, or why it cannot be used.
        shard: Which of the manifest's shards holds it, from 0; None where none does.
    """

    content: str
    source_id: str | None = None
    text: str | None = None
    shard: int | None = None

    def to_line(self) -> str:
        """Returns a line of JSON."""
        return json.dumps(self, ensure_ascii=False) + "\n"

    @classmethod
    def from_line(cls, line: str | bytes) -> Self:
        """Reads what `to_line` returned."""
        return cls(*json.loads(line))


def content_of(sha256: str) -> str:
    """Returns what names a picture, given the SHA-256 of its bytes in hexadecimal."""
    return sha256[:_DIGITS]


def write(path: Path, pictures: Iterable[Named]) -> None:
    """Writes the list; equal pictures give equal bytes."""
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed,
    ):
        packed.writelines(one.to_line().encode() for one in pictures)


def read(directory: Path) -> Iterator[Named]:
    """Yields the pictures that a version of a span names.

    Raises:
        IngestError: The list is missing or damaged.
    """
    path = directory / PICTURES
    try:
        with gzip.open(path) as lines:
            yield from map(Named.from_line, lines)
    except (OSError, EOFError, zlib.error, ValueError, TypeError) as err:
        raise IngestError(
            f"{path} is damaged or missing: {err}. Ingest the same source again, which repairs it"
        ) from err
