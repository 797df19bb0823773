"""Ingest: images in, an immutable span of TFRecords out.

    open_source -> corrections -> survey -> what is new -> division -> plan -> Beam -> manifest
                -> published span

    root/{name}/span-N/v-M/{train,eval,test}/data-00000-of-00004.tfrecord.gz
    root/{name}/span-N/v-M/{manifest.json,pictures.jsonl.gz,rejected.jsonl,findings.jsonl}

The content is read twice: once for its fingerprint, once to convert it.
"""

import contextlib
import dataclasses
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from data import IngestError, spans
from data.converting import known
from data.converting.assemble import assemble
from data.converting.plan import SHARD_BYTES, Listing, Plan, rejections_path
from data.converting.room import check_room, is_full
from data.dataset_name import check_classes_of, check_name, dataset_name
from data.manifest import Manifest, check_strangers, damage
from data.pictures import Picture, digest_of
from data.processes import how_many, watched, write_shards
from data.sample import read_samples
from data.sources import open_source
from data.sources.corrections import Corrected, Corrections, corrections_path
from data.sources.divided import Divided
from data.sources.layouts.answers import NO_ANSWERS, Answers
from data.sources.source import (
    Ignored,
    Item,
    Progress,
    Rejection,
    Source,
    Surveyed,
    check_classes,
    check_usable,
)
from data.test_set import ForTest
from data.window.gather import gather
from data.window.increment import narrow
from data.window.window import Window, window
from signs.features import MAX_PIXELS, REJECTED, SPLITS, TEST

DOWNLOADS = ".downloads"

Report = Callable[[Progress], None]
_REPORT_S = 0.1
_SHOWN = 3


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
    def window(self) -> Window:
        """All pictures of the source: the span and those that it goes on from."""
        return window(self.directory)

    @contextlib.contextmanager
    def folders(self) -> Iterator[list[Path]]:
        """Yields a folder of files for every split that has images, as long as they are read."""
        whole = self.window
        splits = [split for split in SPLITS if whole.split_size(split)]
        with spans.workplace(self.directory.parents[2]) as folder:
            for split in splits:
                gather(whole, split, folder / split)
            yield [folder / split for split in splits]


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
    full: bool = False,
) -> Ingested:
    """Converts images to a span of TFRecords, unless it is there already.

    It holds what is new or changed since the newest span, and names what is gone, where that is of
    the same classes and was made in the same way; else it holds all. What is there is held against
    its checksums, and files that are damaged are made anew.

    Args:
        source: What `data.sources.open_source` understands.
        root: Holds the data sets; every worker must see it under this path.
        name: The data set's name, by default the source's.
        max_rejected: The largest fraction of files, in [0, 1], that may be rejected.
        beam_args: Beam pipeline options, such as those of `data.engine.engine.Engine`.
        seed: Of drawn hands, of the order in the shards, and of the division into splits.
        answers: What the user says of a source that does not say it itself.
        progress: Called now and then with what is being done, and how much of it.
        test_for: The class names of a model, in label order: the source is a further test set of
            it. By default the source is a data set of its own.
        full: Whether the span must hold all of the source.

    Raises:
        IngestError: The source cannot be used, too much of it was rejected, or the disk is full.
    """
    while True:
        with contextlib.suppress(spans.OvertakenError):
            return _ingest(
                source,
                root,
                name=name,
                max_rejected=max_rejected,
                beam_args=beam_args,
                seed=seed,
                answers=answers,
                progress=progress,
                test_for=test_for,
                full=full,
            )


def _ingest(
    source: str | Path,
    root: Path,
    *,
    name: str | None,
    max_rejected: float,
    beam_args: Sequence[str],
    seed: int,
    answers: Answers,
    progress: Report | None,
    test_for: Sequence[str],
    full: bool,
) -> Ingested:
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
            opened, corrections = _opened(source, root, seed, answers, test_for, divided, progress)
            listing = Listing(folder)
            with contextlib.closing(opened):
                reasons = Counter[str]()
                surveyed = opened.survey(_taking(listing, reasons, progress))
                check_usable(listing.items, reasons, str(source))
                check_classes(surveyed.class_names, str(source))
                listing.close()
                dataset = root / dataset_name(name, surveyed)
                settings = _settings(seed, surveyed, answers, test_for, corrections)
                found, whole = known.published(dataset, surveyed, settings, full or bool(test_for))
                damaged: Mapping[str, str] = {}
                if found:
                    directory = spans.directory_of(dataset, found)
                    kept = directory / REJECTED
                    examples = sum(map(found.all_of, SPLITS))
                    _check_rejected(found.rejected_count, examples, max_rejected, kept, kept)
                    check_strangers(directory, found)
                    damaged = damage(directory, found)
                    if not damaged:
                        return _ingested(dataset, found, reused=True)
                elif name is None:
                    check_classes_of(dataset, surveyed)
                increment = None
                if base := known.base_of(dataset, found, surveyed, settings, whole):
                    if progress:
                        progress(Progress("Comparing", listing.items, unit="images"))
                    increment = narrow(listing, opened, window(base), folder)
                    if not found and known.is_nothing(listing, increment, folder):
                        same = Manifest.load(base)
                        _check_rejected(
                            listing.rejected,
                            increment.base.examples,
                            max_rejected,
                            rejections_path(folder),
                            root / f"{dataset.name}-{REJECTED}",
                        )
                        return _ingested(dataset, same, reused=True)
                if surveyed.proportions:
                    if progress:
                        progress(Progress("Dividing into splits", listing.items, unit="images"))
                    listing.divide(
                        opened,
                        surveyed.class_names,
                        surveyed.proportions,
                        seed=seed,
                        max_pixels=MAX_PIXELS,
                        placed=increment.placed if increment else None,
                    )
            plan = Plan(
                folder=folder,
                source=opened,
                class_names=surveyed.class_names,
                seed=seed,
                max_pixels=MAX_PIXELS,
                shards=listing.deal(seed, SHARD_BYTES),
            )
            settings = {**settings, "shards": plan.shards}
            check_room(root, listing.items, listing.bytes)
            _convert(plan, listing.items, beam_args, progress)
            built, draft = assemble(dataset.name, plan, listing, surveyed, settings, increment)
            if found:
                spans.repair(built, draft, directory, damaged)
                return _ingested(dataset, found, reused=True, repaired=tuple(damaged))
            _check_rejected(
                draft.rejected_count,
                sum(map(draft.all_of, SPLITS)),
                max_rejected,
                built / REJECTED,
                root / f"{dataset.name}-{REJECTED}",
            )
            if not test_for:
                _check_classes(draft.all_counts)
            dataset.mkdir(exist_ok=True)
            manifest, is_new = spans.publish(
                built,
                dataset,
                lambda span, version: dataclasses.replace(draft, span=span, version=version),
                whole=whole,
            )
            return _ingested(dataset, manifest, reused=not is_new)
    # Beam wraps what a worker raises into a RuntimeError, with a traceback as its text.
    except (OSError, IngestError, RuntimeError) as err:
        if is_full(err):
            raise _disk_full(root) from err
        if isinstance(err, OSError):
            raise IngestError(f"cannot ingest to {root}: {err}") from err
        raise


def published(dataset: Path) -> Ingested | None:
    """Returns the newest span of a data set; None where the folder holds no spans."""
    found = spans.versions(dataset)
    if not found:
        return None
    return _ingested(dataset.absolute(), Manifest.load(found[-1][2]), reused=True)


def _opened(
    source: str | Path,
    root: Path,
    seed: int,
    answers: Answers,
    test_for: Sequence[str],
    divided: Mapping[str, str | None] | None,
    progress: Report | None,
) -> tuple[Source, Corrections]:
    """The source as the user, the corrections and a leak-free split have it."""
    opened = open_source(
        source,
        seed=seed,
        answers=dataclasses.replace(answers, leak_free=False),
        cache=root / DOWNLOADS,
        progress=_counting(f"Downloading {source}", "bytes", progress),
    )
    place = corrections_path(source, root / DOWNLOADS)
    corrections = Corrections.load(place) if place else Corrections(root, {})
    if corrections.by_id:
        opened = Corrected(opened, corrections)
    if test_for:
        opened = ForTest(opened, tuple(test_for))
    if divided is not None:
        opened = Divided(opened, divided)
    return opened, corrections


def _convert(plan: Plan, items: int, beam_args: Sequence[str], progress: Report | None) -> None:
    """Has processes, or Beam's workers, write the shards."""
    plan.save()
    counting = _counting("Converting", "images", progress)
    if counting:
        counting(0, items)
    with watched(plan.folder / "progress", items, counting):
        if beam_args:
            # Here, because importing Beam takes three seconds.
            from data.beam import convert

            convert(plan, items, beam_args)
        else:
            write_shards(plan, range(plan.shards), how_many(plan, items))


def _leak_free(ingested: Ingested, beam_args: Sequence[str], seed: int) -> Mapping[str, str | None]:
    """Returns a split for each image of a span, by its source id; None leaves it out."""
    # Here, because importing Beam takes three seconds.
    from data.leaks.find import find
    from data.leaks.leak_free import leak_free
    from data.leaks.report import groups

    with ingested.folders() as folders:
        found = find(folders, beam_args)
        pictures = [
            Picture(digest_of(sample.image), sample.source_id, sample.split, sample.class_name)
            for folder in folders
            for sample in read_samples(folder)
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
    seed: int,
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
        "seed": seed,
        "max_pixels": MAX_PIXELS,
        "proportions": surveyed.proportions and dict(surveyed.proportions.as_dict()),
    }


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


def _check_classes(counts: Mapping[str, Mapping[str, int]]) -> None:
    for class_name in counts[TEST]:
        if not any(counts[split][class_name] for split in SPLITS):
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
