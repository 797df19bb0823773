"""What is there already of a source: the span itself, or one to go on from.

surveyed + settings -> published -> the span, or None
                    -> base      -> the folder of the span before, or None: a new one holds all
"""

from collections.abc import Mapping
from pathlib import Path

from data import IngestError, spans
from data.converting.plan import Listing, rejections_path
from data.manifest import Manifest, damage
from data.sources.source import Surveyed, file_sha256
from data.window.increment import Increment
from data.window.window import history
from signs.features import PICTURES, REJECTED

# Raise it when the same source and settings give other files: reuse ends there.
TOOL_VERSION = "2"


def published(
    dataset: Path, surveyed: Surveyed, settings: Mapping[str, object], whole: bool
) -> tuple[Manifest | None, bool]:
    """Returns the span that is there already, and whether only one will do that holds all.

    Where a span that it goes on from is damaged, nothing here could mend that: it will not do.
    """
    found = spans.find(dataset, surveyed.fingerprint, settings, TOOL_VERSION, whole=whole)
    if found and found.base:
        try:
            earlier = history(spans.directory_of(dataset, found))[:-1]
            is_damaged = any(damage(part.directory, part.manifest) for part in earlier)
        except IngestError:
            is_damaged = True
        if is_damaged:
            return None, True
    return found, whole


def base_of(
    dataset: Path,
    found: Manifest | None,
    surveyed: Surveyed,
    settings: Mapping[str, object],
    whole: bool,
) -> Path | None:
    """Returns the folder of what the span goes on from; None where it holds all."""
    if found:
        return spans.directory_of(dataset, found.base) if found.base else None
    if whole:
        return None
    base = spans.find_base(dataset, surveyed.class_names, settings, TOOL_VERSION)
    if base is None:
        return None
    directory = spans.directory_of(dataset, base)
    try:
        lists = [(part.directory / PICTURES, part.manifest.pictures) for part in history(directory)]
        is_known = all(file_sha256(path) == sha256 for path, sha256 in lists)
    except IngestError:
        is_known = False
    return directory if is_known else None


def is_nothing(listing: Listing, increment: Increment, folder: Path) -> bool:
    """Whether neither pictures nor what could not be used differ from the spans before."""
    if listing.items or increment.removed:
        return False
    before = increment.base.parts[-1].directory / REJECTED
    now = rejections_path(folder)
    told = (sorted(path.read_text(encoding="utf-8").splitlines()) for path in (before, now))
    return next(told) == next(told)
