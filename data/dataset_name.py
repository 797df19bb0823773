"""What a data set is called. Its name is also the model's, the pipeline's and a folder's."""

import re
import unicodedata
from pathlib import Path

from data import IngestError, spans
from data.manifest import Manifest
from data.sources.source import Surveyed
from signs.features import SYNTHETIC_DATASET

_REAL = "signs"
_DRAWN_ENDING = "-synthetic"
_MAX = 63  # characters: the name becomes the pipeline's, and TFX takes no longer one
_NAME = re.compile(rf"[a-z]([a-z0-9-]{{0,{_MAX - 2}}}[a-z0-9])?")
_SHOWN = 4


def check_name(name: str) -> None:
    """Raises IngestError unless a data set can be called like that."""
    if not _NAME.fullmatch(name):
        raise IngestError(
            f"`name` must be at most {_MAX} lower-case letters, digits and dashes, as in "
            "my-signs, beginning with a letter and not ending in a dash. "
            f"Received: {name!r}"
        )


def dataset_name(name: str | None, surveyed: Surveyed) -> str:
    """Returns the data set's name; drawings and photographs never share one.

    Args:
        name: What the user calls it, checked; None takes the source's name.
        surveyed: The source.

    Raises:
        IngestError: The name is for other images, or none can be made of the source's.
    """
    if surveyed.is_synthetic:
        if name is not None and not name.endswith(_DRAWN_ENDING):
            raise IngestError(
                f"`name` of drawn images must end in {_DRAWN_ENDING}, so that nobody takes them "
                f"for photographs. Received: {name!r}"
            )
        return name or SYNTHETIC_DATASET
    if name is None:
        return _REAL if surveyed.is_signs else made_of(surveyed.name)
    if name.endswith(_DRAWN_ENDING):
        raise IngestError(f"`name` {name!r} is for drawn images: choose another")
    if name == _REAL and not surveyed.is_signs:
        raise IngestError(f"`name` {name!r} is for the SIGNS photographs: choose another")
    return name


def check_classes_of(dataset: Path, surveyed: Surveyed) -> None:
    """Raises IngestError if a data set of that name has other classes: one name, one model.

    Only for names that nobody has chosen: who gives one knows what it stands for.
    """
    published = spans.versions(dataset)
    if not published:
        return
    newest = Manifest.load(published[-1][2])
    if newest.class_names == surveyed.class_names:
        return
    raise IngestError(
        f"the data set {dataset.name!r} is there already, with other classes. One name is for one "
        f"model.\n"
        f"  there: {_listed(newest.class_names)}  (span {newest.span}, from {newest.source})\n"
        f"  here:  {_listed(surveyed.class_names)}  (from {surveyed.description})\n"
        f"Keep them apart with another --name, or go on with these classes: --name {dataset.name}"
    )


def made_of(source: str) -> str:
    """Returns a name made of a source's.

    Raises:
        IngestError: Too little of that would be left.
    """
    text = unicodedata.normalize("NFKD", source)
    lost = [letter for letter in text if letter.isalnum() and not letter.isascii()]
    name = re.sub(r"[^a-z0-9]+", "-", text.encode("ascii", "ignore").decode().lower()).strip("-")
    if name == _REAL or name[:1].isdigit():
        name = f"images-{name}"
    if name.endswith(_DRAWN_ENDING):
        name = f"{name}-images"
    if lost or not _NAME.fullmatch(name):
        # Of two sources that differ in what is lost, one would replace the other's model.
        raise IngestError(
            f"no name for the data set can be made of {source!r}: give one with --name. At most "
            f"{_MAX} lower-case letters, digits and dashes, as in --name my-images"
        )
    return name


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
