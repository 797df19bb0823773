"""What a source holds, on disk in the source's order, and cut into parts of 256.

survey -> pictures.jsonl, a line for each: an Item, or a Rejection -> Part, Part, ...
"""

import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from data.sources.source import Ignored, Item, Progress, Rejection, Source, check_usable

PART = 256  # pictures: a second of two slow cores
_FILE = "pictures.jsonl"


@dataclass(frozen=True)
class Part:
    """Consecutive lines of a listing.

    Args:
        number: from 0.
        offset: of its first line, in bytes.
        lines: how many there are.
    """

    number: int
    offset: int
    lines: int


@dataclass(frozen=True)
class Listing:
    """A source that was listed.

    Args:
        fingerprint: SHA-256 of the source's content.
        parts: all of it.
    """

    fingerprint: str
    parts: tuple[Part, ...]

    @property
    def pictures(self) -> int:
        """How many lines there are in all."""
        return sum(part.lines for part in self.parts)


def list_source(source: Source, name: str, folder: Path) -> Listing:
    """Lists a source.

    Args:
        source: of pictures.
        name: what the user calls it.
        folder: takes the list, in an earlier one's place.

    Raises:
        IngestError: it cannot be read, or holds nothing that could be a picture.
    """
    offsets, lines, items = [0], 0, 0
    reasons: dict[str, int] = {}
    with (folder / _FILE).open("wb") as file:

        def take(found: Item | Rejection | Ignored | Progress) -> None:
            nonlocal lines, items
            if isinstance(found, Ignored | Progress):
                return
            if isinstance(found, Rejection):
                reasons[found.reason] = reasons.get(found.reason, 0) + 1
            if lines and lines % PART == 0:
                offsets.append(file.tell())
            file.write(json.dumps(astuple(found)).encode() + b"\n")
            lines += 1
            items += isinstance(found, Item)

        surveyed = source.survey(take)
    check_usable(items, reasons, name)
    parts = tuple(
        Part(number, offset, min(PART, lines - number * PART))
        for number, offset in enumerate(offsets)
    )
    return Listing(surveyed.fingerprint, parts)


def read_part(folder: Path, part: Part) -> Iterator[Item | Rejection]:
    """What a part of the list in a folder holds."""
    with (folder / _FILE).open("rb") as file:
        file.seek(part.offset)
        for _ in range(part.lines):
            values = json.loads(file.readline())
            yield Rejection(*values) if len(values) == 2 else Item(*values)
