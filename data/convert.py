"""Ingest: images in, an immutable span of TFRecords out.

    open_source -> corrections -> survey -> division -> plan -> Beam -> manifest -> published span

    root/{name}/span-N/v-M/{train,eval,test}/data-00000-of-00004.tfrecord.gz
    root/{name}/span-N/v-M/{manifest.json,rejected.jsonl,findings.jsonl}

The content is read twice: once for its fingerprint, once to convert it.
"""

import contextlib
import dataclasses
import datetime
import errno
import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data import IngestError, spans
from data.dataset_name import check_classes_of, check_name, dataset_name
from data.findings import of_classes, of_copies
from data.manifest import Manifest, Shard, check_strangers, damage
from data.pictures import Picture, copies, digest_of
from data.plan import SHARD_BYTES, Listing, Plan, rejections_path
from data.processes import how_many, watched, write_shards
from data.room import check_room
from data.sample import read_samples
from data.shard import records_path, result_path
from data.sources import open_source
from data.sources.corrections import Corrected, Corrections, corrections_path
from data.sources.divided import Divided
from data.sources.layouts.answers import NO_ANSWERS, Answers
from data.sources.source import (
    Ignored,
    Item,
    Progress,
    Rejection,
    Surveyed,
    check_classes,
    check_usable,
)
from data.test_set import ForTest
from signs.features import FINDINGS, MAX_PIXELS, REJECTED, SPLITS, TEST

# Raise it when the same source and settings give other files: reuse ends there.
TOOL_VERSION = "2"
DOWNLOADS = ".downloads"

Report = Callable[[Progress], None]
_REPORT_S = 0.1
_MOST_REASONS = 20
_BUCKET = 100_000  # images whose digests are compared at a time
_SHOWN = 3
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclasses.dataclass(frozen=True)
class Ingested:
    """What `ingest` made or found.

    Attributes:
        name: The data set.
        span: Counts the contents, from 1.
        version: Counts the conversions of one content, from 1.
        directory: Holds the split folders and the manifest.
        manifest: What is in there.
        reused: Whether it was there before.
        repaired: The files in there that were damaged, and were made anew.
    """

    name: str
    span: int
    version: int
    directory: Path
    manifest: Manifest
    reused: bool
    repaired: tuple[str, ...] = ()

    @property
    def patterns(self) -> list[str]:
        """Patterns of the files of every split that holds images."""
        return [f"{folder}/*" for folder in self.folders]

    @property
    def folders(self) -> list[Path]:
        """The folders of every split that holds images."""
        splits = [split for split in SPLITS if self.manifest.split_size(split)]
        return [self.directory / split for split in splits]


def ingest(
    source: str | Path,
    root: Path,
    *,
    name: str | None = None,
    max_rejected: float = 0.01,
    beam_args: Sequence[str] = (),
    seed: int = 0,
    answers: Answers = NO_ANSWERS,
    progress: Report | None = None,
    test_for: Sequence[str] = (),
) -> Ingested:
    """Converts images to a span of TFRecords, unless it is there already.

    What is there is held against its checksums, and files that are damaged are made anew.

    Args:
        source: What `data.sources.open_source` understands.
        root: Holds the data sets; every worker must see it under this path.
        name: The data set's name, by default the source's.
        max_rejected: The largest fraction of files, in [0, 1], that may be rejected.
        beam_args: Beam pipeline options, such as `--runner=FlinkRunner`.
        seed: Of drawn hands, of the order in the shards, and of the division into splits.
        answers: What the user says of a source that does not say it itself.
        progress: Called now and then with what is being done, and how much of it.
        test_for: The class names of a model, in label order: the source is a further test set of
            it. By default the source is a data set of its own.

    Raises:
        IngestError: The source cannot be used, too much of it was rejected, or the disk is full.
    """
    if not (isinstance(max_rejected, int | float) and 0 <= max_rejected <= 1):
        raise IngestError(f"`max_rejected` must be in [0, 1]. Received: {max_rejected}")
    if name is not None:
        check_name(name)
    root = Path(root).absolute()
    divided = None
    if answers.leak_free:
        # What is alike shows once the images are there, as the source divides them.
        as_it_is = ingest(
            source,
            root,
            name=name,
            max_rejected=max_rejected,
            beam_args=beam_args,
            seed=seed,
            answers=dataclasses.replace(answers, leak_free=False),
            progress=progress,
        )
        divided = _leak_free(as_it_is, beam_args, seed)
    try:
        with spans.workplace(root) as folder:
            opened = open_source(
                source,
                seed=seed,
                answers=dataclasses.replace(answers, leak_free=False),
                cache=root / DOWNLOADS,
                progress=_counting("Downloading SIGNS", "bytes", progress),
            )
            place = corrections_path(source, root / DOWNLOADS)
            corrections = Corrections.load(place) if place else Corrections(root, {})
            if corrections.by_id:
                opened = Corrected(opened, corrections)
            if test_for:
                opened = ForTest(opened, tuple(test_for))
            if divided is not None:
                opened = Divided(opened, divided)
            listing = Listing(folder)
            with contextlib.closing(opened):
                reasons = Counter[str]()
                surveyed = opened.survey(_taking(listing, reasons, progress))
                check_usable(listing.items, reasons, str(source))
                check_classes(surveyed.class_names, str(source))
                listing.close()
                if surveyed.proportions:
                    if progress:
                        progress(Progress("Dividing into splits", listing.items, unit="images"))
                    listing.divide(
                        opened,
                        surveyed.class_names,
                        surveyed.proportions,
                        seed=seed,
                        max_pixels=MAX_PIXELS,
                    )
            dataset = root / dataset_name(name, surveyed)
            plan = Plan(
                folder=folder,
                source=opened,
                class_names=surveyed.class_names,
                seed=seed,
                max_pixels=MAX_PIXELS,
                shards=listing.deal(seed, SHARD_BYTES),
            )
            settings = _settings(plan, surveyed, answers, test_for, corrections)
            found = spans.find(dataset, surveyed.fingerprint, settings, TOOL_VERSION)
            damaged: Mapping[str, str] = {}
            if found:
                directory = spans.directory_of(dataset, found)
                kept = directory / REJECTED
                _check_rejected(found.rejected_count, found.examples, max_rejected, kept, kept)
                check_strangers(directory, found)
                damaged = damage(directory, found)
                if not damaged:
                    return _ingested(dataset, found, reused=True)
            elif name is None:
                check_classes_of(dataset, surveyed)
            check_room(root, listing.items, listing.bytes)
            plan.save()
            counting = _counting("Converting", "images", progress)
            if counting:
                counting(0, listing.items)
            with watched(plan.folder / "progress", listing.items, counting):
                if beam_args:
                    # Here, because importing Beam takes three seconds.
                    from data.beam import convert

                    convert(plan, listing.items, beam_args)
                else:
                    write_shards(plan, range(plan.shards), how_many(plan, listing.items))
            built, draft = _assemble(dataset.name, plan, listing, surveyed, settings)
            if found:
                spans.repair(built, draft, directory, damaged)
                return _ingested(dataset, found, reused=True, repaired=tuple(damaged))
            _check_rejected(
                draft.rejected_count,
                draft.examples,
                max_rejected,
                built / REJECTED,
                root / f"{dataset.name}-{REJECTED}",
            )
            if not test_for:
                _check_classes(draft)
            dataset.mkdir(exist_ok=True)
            manifest, is_new = spans.publish(
                built,
                dataset,
                lambda span, version: dataclasses.replace(draft, span=span, version=version),
            )
            return _ingested(dataset, manifest, reused=not is_new)
    except OSError as err:
        if err.errno in _FULL:
            raise _disk_full(root) from err
        raise IngestError(f"cannot ingest to {root}: {err}") from err
    except IngestError as err:
        if any(os.strerror(number) in str(err) for number in _FULL):
            raise _disk_full(root) from err
        raise
    # Beam wraps what a worker raises into an exception of its own, with a traceback as its text.
    except RuntimeError as err:
        if any(os.strerror(number) in str(err) for number in _FULL):
            raise _disk_full(root) from err
        raise


def _leak_free(ingested: Ingested, beam_args: Sequence[str], seed: int) -> Mapping[str, str | None]:
    """Returns a split for each image of a span, by its source id; None leaves it out."""
    # Here, because importing Beam takes three seconds.
    from data.leaks.find import find
    from data.leaks.leak_free import leak_free
    from data.leaks.report import groups

    found = find(ingested.patterns, beam_args)
    pictures = [
        Picture(digest_of(sample.image), sample.source_id, sample.split, sample.class_name)
        for split in SPLITS
        if ingested.manifest.split_size(split)
        for sample in read_samples(ingested.directory / split)
    ]
    splits = leak_free(pictures, groups(found), seed=seed)
    return {one.source_id: split for one, split in zip(pictures, splits, strict=True)}


def _taking(
    listing: Listing, reasons: Counter[str], report: Report | None
) -> Callable[[Item | Rejection | Ignored | Progress], None]:
    """Returns what takes the findings of a survey; it reports a few times a second."""
    doing, reported = "Reading", 0.0

    def take(found: Item | Rejection | Ignored | Progress) -> None:
        nonlocal doing, reported
        if isinstance(found, Progress):
            doing = found.doing
        else:
            listing.add(found)
        if isinstance(found, Rejection):
            reasons[found.reason] += 1
        if report and time.monotonic() - reported > _REPORT_S:
            reported = time.monotonic()
            listed = found.done if isinstance(found, Progress) else 0
            report(Progress(doing, listing.items + listing.rejected or listed))

    return take


def _counting(
    doing: str, unit: str, report: Report | None
) -> Callable[[int, int | None], None] | None:
    if report is None:
        return None
    return lambda done, total: report(Progress(doing, done, total, unit))


def _settings(
    plan: Plan,
    surveyed: Surveyed,
    answers: Answers,
    test_for: Sequence[str],
    corrections: Corrections,
) -> Mapping[str, object]:
    given, mended = answers.as_dict(), corrections.as_settings()
    return {
        **({"corrections": mended} if mended else {}),
        **({"test_for": list(test_for)} if test_for else {}),
        **({"answers": given} if given else {}),
        "seed": plan.seed,
        "max_pixels": plan.max_pixels,
        "shards": plan.shards,
        "proportions": surveyed.proportions and dict(surveyed.proportions.as_dict()),
    }


def _assemble(
    name: str, plan: Plan, listing: Listing, surveyed: Surveyed, settings: Mapping[str, object]
) -> tuple[Path, Manifest]:
    """Puts the workers' files in their places; returns the folder and its manifest."""
    built = plan.folder / "built"
    built.mkdir()
    results = [
        json.loads(result_path(plan.folder, shard).read_text()) for shard in range(plan.shards)
    ]
    counts = {split: dict.fromkeys(plan.class_names, 0) for split in SPLITS}
    shards = []
    for split in SPLITS:
        filled = [shard for shard, result in enumerate(results) if split in result]
        for number, shard in enumerate(filled):
            path = f"{split}/data-{number:05d}-of-{len(filled):05d}.tfrecord.gz"
            (built / split).mkdir(exist_ok=True)
            records_path(plan.folder, split, shard).rename(built / path)
            result = dict(results[shard][split])
            for label, count in result.pop("counts").items():
                counts[split][plan.class_names[int(label)]] += count
            shards.append(Shard(path=path, split=split, **result))
    sizes = {split: sum(counts[split].values()) for split in SPLITS}
    buckets = math.ceil(sum(sizes.values()) / _BUCKET)
    # A further test set misses no training images.
    expected = {TEST: counts[TEST]} if isinstance(plan.source, ForTest) else counts
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
    )
    return built, draft


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


def _check_rejected(
    rejected: int, examples: int, max_rejected: float, path: Path, keep: Path
) -> None:
    """Raises IngestError if too much was rejected, and keeps the list of it."""
    total = rejected + examples
    if rejected == 0 or rejected <= max_rejected * total:
        return
    with path.open(encoding="utf-8") as file:
        first = [json.loads(line) for _, line in zip(range(_SHOWN), file, strict=False)]
    if path != keep:
        shutil.copyfile(path, keep)
    shown = "; ".join(f"{entry['source_id']}: {entry['reason']}" for entry in first)
    more = ", ..." if rejected > _SHOWN else ""
    raise IngestError(
        f"{rejected} of {total} files were rejected, more than the {max_rejected:.4g} allowed "
        f"(--max-rejected): {shown}{more}\nAll of them, with their reasons: {keep}"
    )


def _check_classes(manifest: Manifest) -> None:
    for class_name in manifest.class_names:
        if not any(manifest.counts[split][class_name] for split in SPLITS):
            raise IngestError(
                f"class {class_name!r} has no image that can be used: add some, or remove the class"
            )


def _disk_full(root: Path) -> IngestError:
    return IngestError(
        f"the disk is full while writing to {root}: nothing was added. "
        "Make room, or choose another workspace."
    )


def _ingested(
    dataset: Path, manifest: Manifest, *, reused: bool, repaired: tuple[str, ...] = ()
) -> Ingested:
    directory = spans.directory_of(dataset, manifest)
    return Ingested(
        dataset.name, manifest.span, manifest.version, directory, manifest, reused, repaired
    )
