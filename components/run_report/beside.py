"""What other components may have found: suspect labels, and statistics of pictures.

Their files are read leniently: what is not there, or has another form, is not shown.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

Named: TypeAlias = list[tuple[str, list[str]]]  # words, and source ids

SUSPECTS, PICTURES = "suspects.json", "pictures.json"
_MOST = 24
_MOST_OF_A_KIND = 8


def suspects(folder: Path | None) -> Named:
    """The labels that are probably wrong, each with its nearest image of the other class."""
    found: Named = []
    for one in _load(folder, SUSPECTS).get("suspects", [])[:_MOST]:
        share = one.get("probability")
        sure = f", {100 * share:.0f} %" if isinstance(share, int | float) else ""
        words = f"Labelled {one.get('label', '?')}, perhaps {one.get('suggested', '?')}{sure}"
        found.append((words, _ids([one, one.get("neighbour")])))
    return found


def pictures(folder: Path | None) -> tuple[Named, dict[str, dict[str, tuple[float, ...]]]]:
    """The odd pictures by kind, and by split and measure the histograms' counts."""
    loaded = _load(folder, PICTURES)
    odd = [
        (f"{str(kind).capitalize()} ({len(_ids(ones)):,})", _ids(ones)[:_MOST_OF_A_KIND])
        for kind, ones in loaded.get("odd", {}).items()
        if ones
    ]
    histograms: dict[str, dict[str, tuple[float, ...]]] = {}
    for split, measures in loaded.get("splits", {}).items():
        for measure, found in measures.items() if isinstance(measures, Mapping) else ():
            counts = _counts(found)
            if counts:
                histograms.setdefault(measure, {})[split] = counts
    return odd, histograms


def _load(folder: Path | None, name: str) -> dict[str, Any]:
    if folder is None:
        return {}
    try:
        loaded = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _ids(ones: Iterable[Any]) -> list[str]:
    """The source ids of images that are told as such, or as objects with an id."""
    names = [
        one.get("id") or one.get("source_id") if isinstance(one, dict) else one for one in ones
    ]
    return [name for name in names if isinstance(name, str)]


def _counts(found: Any) -> tuple[float, ...]:
    histogram = found.get("histogram") if isinstance(found, Mapping) else None
    if isinstance(histogram, Mapping):
        histogram = histogram.get("counts")
    if not isinstance(histogram, list) or not all(isinstance(n, int | float) for n in histogram):
        return ()
    return tuple(histogram)
