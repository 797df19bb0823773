"""Puts the workers' files in their places, and writes the manifest.

PLAN/records-*, named-*, result-*.json -> built/{train,eval,test}/*, pictures.jsonl.gz -> Manifest
"""

import datetime
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data.converting.known import TOOL_VERSION
from data.converting.plan import Listing, Plan, rejections_path
from data.converting.shard import named_path, records_path, result_path
from data.findings import of_classes, of_copies
from data.manifest import Base, Manifest, Shard
from data.pictures import copies
from data.sources.source import Surveyed, file_sha256
from data.test_set import ForTest
from data.window import named
from data.window.increment import Increment
from data.window.named import Named
from signs.features import FINDINGS, PICTURES, REJECTED, SPLITS, TEST

_MOST_REASONS = 20
_BUCKET = 20_000  # images whose digests are compared at a time


def assemble(
    name: str,
    plan: Plan,
    listing: Listing,
    surveyed: Surveyed,
    settings: Mapping[str, object],
    increment: Increment | None,
) -> tuple[Path, Manifest]:
    """Puts the workers' files in their places; returns the folder and its manifest."""
    built = plan.folder / "built"
    built.mkdir()
    results = [
        json.loads(result_path(plan.folder, shard).read_text()) for shard in range(plan.shards)
    ]
    counts = {split: dict.fromkeys(plan.class_names, 0) for split in SPLITS}
    shards: list[Shard] = []
    number_of: dict[tuple[int, int], int] = {}  # of a shard in the manifest, by part and split
    for split in SPLITS:
        filled = [shard for shard, result in enumerate(results) if split in result]
        for number, shard in enumerate(filled):
            path = f"{split}/data-{number:05d}-of-{len(filled):05d}.tfrecord.gz"
            (built / split).mkdir(exist_ok=True)
            records_path(plan.folder, split, shard).rename(built / path)
            result = dict(results[shard][split])
            for label, count in result.pop("counts").items():
                counts[split][plan.class_names[int(label)]] += count
            number_of[shard, SPLITS.index(split)] = len(shards)
            shards.append(Shard(path=path, split=split, **result))
    removed = increment.removed if increment else []
    named.write(built / PICTURES, _named(plan, number_of, removed))
    sizes = {split: sum(counts[split].values()) for split in SPLITS}
    buckets = math.ceil(sum(sizes.values()) / _BUCKET)
    # A further test set misses no training images.
    is_test_set = isinstance(plan.source, ForTest)
    expected = {TEST: counts[TEST]} if is_test_set else _with_kept(counts, increment)
    groups = copies(plan.folder, range(plan.shards), buckets)
    draft = Manifest(
        name=name,
        span=1,
        version=1,
        class_names=plan.class_names,
        counts=counts,
        shards=tuple(shards),
        source=surveyed.description,
        is_synthetic=surveyed.is_synthetic,
        fingerprint=surveyed.fingerprint,
        settings=settings,
        tool_version=TOOL_VERSION,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        rejected=_gather_rejections(plan, built / REJECTED),
        ignored=dict(sorted(listing.ignored.items())),
        findings=(*of_classes(expected), *of_copies(groups, sizes, built / FINDINGS)),
        base=_as_base(increment.base.parts[-1].manifest) if increment else None,
        all_counts=_with_kept(counts, increment),
        changed=increment.changed if increment else 0,
        removed=len(removed),
        pictures=file_sha256(built / PICTURES),
    )
    return built, draft


def _named(
    plan: Plan, number_of: Mapping[tuple[int, int], int], removed: Sequence[str]
) -> Iterator[Named]:
    """Yields what all shards name, and what is gone."""
    for shard in range(plan.shards):
        with named_path(plan.folder, shard).open(encoding="utf-8") as lines:
            for one in map(Named.from_line, lines):
                number = None if one.shard is None else number_of[shard, one.shard]
                yield one._replace(shard=number)
    yield from map(Named, removed)


def _as_base(manifest: Manifest) -> Base:
    return Base(manifest.span, manifest.version, manifest.checksum)


def _gather_rejections(plan: Plan, path: Path) -> Mapping[str, int]:
    """Joins the rejections of the survey and of all shards; returns their number by reason."""
    reasons: Counter[str] = Counter()
    with path.open("w", encoding="utf-8") as file:
        for shard in (None, *range(plan.shards)):
            with rejections_path(plan.folder, shard).open(encoding="utf-8") as part:
                for line in part:
                    file.write(line)
                    reason = json.loads(line)["reason"]
                    few = reason in reasons or len(reasons) < _MOST_REASONS
                    reasons[reason if few else "other"] += 1
    return dict(reasons.most_common())


def _with_kept(
    counts: Mapping[str, Mapping[str, int]], increment: Increment | None
) -> Mapping[str, Mapping[str, int]]:
    """Returns the numbers of all images of the source."""
    kept = increment.kept if increment else Counter()
    return {
        split: {name: count + kept[split, name] for name, count in by_class.items()}
        for split, by_class in counts.items()
    }
