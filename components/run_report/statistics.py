"""TFDV's statistics and anomalies, and the span's manifest, as the page has them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx import types

from components.run_page.facts import Feature, Source
from signs.features import MANIFEST, SPAN_PATTERN

_SHOWN = 60  # letters of a value


def features(folder: Path, splits: Sequence[str]) -> dict[str, tuple[Feature, ...]]:
    """What TFDV has counted, by split."""
    found = {}
    for split in splits:
        path = folder / f"Split-{split}" / "FeatureStats.pb"
        if path.is_file():
            loaded = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
            found[split] = tuple(map(_feature, loaded.datasets[0].features))
    return found


def _feature(one: statistics_pb2.FeatureNameStatistics) -> Feature:
    kind = one.WhichOneof("stats")
    common = getattr(one, kind).common_stats
    different, most = None, ""
    if kind == "string_stats":
        different = one.string_stats.unique or None
        top = one.string_stats.top_values
        if top and (different is None or different < common.num_non_missing):
            most = f"{top[0].value[:_SHOWN]} ({top[0].frequency:,.0f})"
    elif kind == "num_stats":
        most = f"{one.num_stats.min:g} to {one.num_stats.max:g}"
    return Feature(
        name=".".join(one.path.step) or one.name,
        kind=statistics_pb2.FeatureNameStatistics.Type.Name(one.type).lower(),
        images=common.num_non_missing,
        missing=common.num_missing,
        different=different,
        most_frequent=most,
    )


def anomalies(folder: Path, splits: Sequence[str]) -> tuple[str, ...]:
    """What the schema does not allow, in words."""
    found = []
    for split in splits:
        path = folder / f"Split-{split}" / "SchemaDiff.pb"
        if path.is_file():
            loaded = anomalies_pb2.Anomalies.FromString(path.read_bytes())
            for name, info in sorted(loaded.anomaly_info.items()):
                found.append(f"{split}, {name}: {info.short_description}. {info.description}")
    return tuple(found)


def source(data_root: Path, examples: types.Artifact, data: dict[str, Any]) -> Source:
    """The manifest of the span that was read; empty where it cannot be reached."""
    span, version = (
        examples.get_custom_property(name) or data.get(name) for name in ("span", "version")
    )
    pattern = SPAN_PATTERN.replace("{SPAN}", str(span)).replace("{VERSION}", str(version or "*"))
    try:
        # Without a version it is the newest, as for ImportExampleGen.
        newest = max(data_root.glob(pattern), key=lambda path: int(path.name.rpartition("-")[2]))
        found = json.loads((newest / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Source(span=int(span) if span else None)
    return Source(
        source=found.get("source", ""),
        span=found.get("span"),
        version=found.get("version"),
        fingerprint=found.get("fingerprint", ""),
        checksum=found.get("checksum", ""),
        created=found.get("created", ""),
        is_synthetic=bool(found.get("is_synthetic")),
        rejected=sum(found.get("rejected", {}).values()),
        corrected=len(found.get("settings", {}).get("corrections", {}).get("rows", ())),
    )
