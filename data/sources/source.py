"""The seam between where images come from and how they are converted.

    open_source(spec) -> Source.survey(emit) -> Item, Rejection, Ignored, Progress ... -> Surveyed
                         Source.read(item)   -> image bytes, on any worker

A survey streams: it holds no list of images, so that ten million of them fit. A source and its
items are small and picklable; the bytes of an image are read where it is converted.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from data import IngestError
from data.splits import Proportions
from signs.litter import DEEPEST as DEEPEST
from signs.litter import MAX_FILE_BYTES as MAX_FILE_BYTES

_SHOWN = 3


class UnreadableError(IngestError):
    """An item whose bytes cannot be had; the text is the reason, in words."""


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One image that a source holds.

    Attributes:
        source_id: Where it is, unique within the source.
        class_name: What it shows.
        split: Where the source puts it, or None to divide by content.
        reference: What `Source.read` needs to find it.
        size: About how many bytes the image has.
        digest: SHA-256 of its bytes, in hexadecimal, or of what else decides them; None where the
            survey has not read it.
    """

    source_id: str
    class_name: str
    split: str | None
    reference: str | int
    size: int
    digest: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Rejection:
    """Something that should have been an image and cannot become an example."""

    source_id: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Ignored:
    """Litter that nobody takes for data, by kind: for example `.DS_Store`."""

    kind: str


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """A sign of life.

    Attributes:
        doing: What is being done, in words: `Listing usr/lib`.
        done: How much of it.
        total: How much there is, where that is known.
        unit: Of what: `files`, `bytes`.
    """

    doing: str
    done: int
    total: int | None = None
    unit: str = "files"


Emit = Callable[[Item | Rejection | Ignored | Progress], None]


@dataclasses.dataclass(frozen=True)
class Surveyed:
    """What is known of a source once all of it has been listed.

    Attributes:
        name: What the source is called; the data set's name is made of it.
        description: The source in words, for the manifest.
        class_names: In label order.
        fingerprint: SHA-256 of the content: equal content, equal fingerprint, wherever it lies.
        proportions: How to divide the items whose split is None.
        is_synthetic: Whether the images are drawings.
        is_signs: Whether they are known to be the SIGNS photographs.
    """

    name: str
    description: str
    class_names: tuple[str, ...]
    fingerprint: str
    proportions: Proportions | None = None
    is_synthetic: bool = False
    is_signs: bool = False


class Source(Protocol):
    """Images with their classes."""

    def survey(self, emit: Emit) -> Surveyed:
        """Lists every item in an order that depends on the content only.

        Raises:
            IngestError: The source as a whole makes no sense.
        """
        ...

    def read(self, item: Item) -> bytes:
        """Returns the bytes of one image, as they came.

        Raises:
            UnreadableError: They cannot be had.
        """
        ...

    def close(self) -> None:
        """Lets go of the files that `survey` and `read` keep open in this process."""
        ...


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise IngestError(f"cannot read {path}: {err.strerror}") from err


def check_usable(items: int, reasons: Mapping[str, int], where: str) -> None:
    """Raises IngestError where nothing can be used, and says what is there and why it cannot."""
    if items:
        return
    if not reasons:
        raise IngestError(f"{where} holds no images")
    files = sum(reasons.values())
    first = sorted(reasons, key=lambda reason: -reasons[reason])[:_SHOWN]
    if len(reasons) == 1:
        told = f"{'all ' if files > 1 else ''}{first[0]}"
    else:
        told = "none of them usable: " + ", ".join(f"{reasons[why]:,} {why}" for why in first)
        told += ", ..." if len(reasons) > _SHOWN else ""
    encrypted = " Pack it again without a password, or unpack it." if "encrypted" in reasons else ""
    entries = "1 entry" if files == 1 else f"{files:,} entries"
    raise IngestError(f"{where} holds {entries}, {told}.{encrypted}")


def check_classes(class_names: Sequence[str], where: str) -> None:
    """Raises IngestError unless there are two classes or more."""
    if len(class_names) < 2:
        found = f"only {class_names[0]!r}" if class_names else "none"
        raise IngestError(
            f"{where} has fewer than 2 classes: {found}. Expected one folder per class, "
            "or CS230's train_signs/5_IMG_1234.jpg."
        )
