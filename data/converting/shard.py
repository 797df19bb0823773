"""Converts one part of a plan: the work of a worker.

    part-K.jsonl -> {split}-K.tfrecord.gz, pictures-K.jsonl, rejected-K.jsonl, named-K.jsonl,
                    shard-K.json

Doing it again gives the same bytes under the same names, so that any runner may retry. Imports
neither TensorFlow nor Beam: `python -m data.converting.shard FOLDER K...` starts in a
fraction of a second.
"""

import contextlib
import dataclasses
import hashlib
import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.converting.plan import Plan, rejection_line, rejections_path
from data.pictures import Picture, digest_of, pictures_path
from data.sample import Sample
from data.sources.source import Item, Rejection
from data.tfrecord import Writer
from data.window.named import Named, content_of
from signs import process
from signs.errors import UserError
from signs.features import SPLITS
from signs.image_bytes import canonical_bytes

_TICK = 50  # images between two signs of progress


def write_shard(plan: Plan, shard: int) -> None:
    """Converts one part and leaves the results in the plan's folder."""
    with contextlib.ExitStack() as stack:
        stack.callback(plan.source.close)
        attempt = uuid.uuid4().hex
        paths: dict[str, Path] = {}
        writers: dict[str, Writer] = {}
        rejected_path = plan.folder / f"{attempt}-rejected"
        rejected = stack.enter_context(rejected_path.open("w", encoding="utf-8"))
        pictures, named = (plan.folder / f"{attempt}-{what}" for what in ("pictures", "named"))
        listed = stack.enter_context(pictures.open("w", encoding="utf-8"))
        naming = stack.enter_context(named.open("w", encoding="utf-8"))
        counts = {split: Counter[int]() for split in SPLITS}
        for item in _ticking(plan.part(shard), plan.folder / "progress"):
            content, sample = _convert(plan, item)
            if isinstance(sample, Rejection):
                rejected.write(rejection_line(sample))
                if content:  # what could not even be read may be read another time
                    naming.write(Named(content, item.source_id, sample.reason).to_line())
                continue
            if sample.split not in writers:
                paths[sample.split] = plan.folder / f"{attempt}-{sample.split}"
                writers[sample.split] = stack.enter_context(Writer(paths[sample.split]))
            writers[sample.split].write(sample.serialize())
            digest = digest_of(sample.image)
            picture = Picture(digest, sample.source_id, sample.split, sample.class_name)
            listed.write(picture.to_line())
            number = SPLITS.index(sample.split)
            naming.write(Named(content, item.source_id, sample.class_name, number).to_line())
            counts[sample.split][sample.label] += 1
        result = {
            split: {**dataclasses.asdict(writer.close()), "counts": counts[split]}
            for split, writer in writers.items()
        }
    for split, path in paths.items():
        path.replace(records_path(plan.folder, split, shard))
    rejected_path.replace(rejections_path(plan.folder, shard))
    pictures.replace(pictures_path(plan.folder, shard))
    named.replace(named_path(plan.folder, shard))
    summary = plan.folder / f"{attempt}-summary"
    summary.write_text(json.dumps(result), encoding="utf-8")
    summary.replace(result_path(plan.folder, shard))


def records_path(folder: Path, split: str, shard: int) -> Path:
    """Returns where the records of one split of a shard are."""
    return folder / f"{split}-{shard:05d}.tfrecord.gz"


def result_path(folder: Path, shard: int) -> Path:
    """Returns where the summary of a shard is, once it is done."""
    return folder / f"shard-{shard:05d}.json"


def named_path(folder: Path, shard: int) -> Path:
    """Returns where the pictures that a shard names are; in place of a shard they have a split."""
    return folder / f"named-{shard:05d}.jsonl"


def _convert(plan: Plan, item: Item) -> tuple[str, Sample | Rejection]:
    """Returns what names the picture's content, empty where it cannot be read, and the sample."""
    content = ""
    try:
        raw = plan.source.read(item)
        content = content_of(item.digest or hashlib.sha256(raw).hexdigest())
        image = canonical_bytes(raw, max_pixels=plan.max_pixels)
    except UserError as err:
        return content, Rejection(item.source_id, str(err))
    assert item.split is not None
    label = plan.class_names.index(item.class_name)
    return content, Sample(image, label, item.class_name, item.source_id, item.split)


def _ticking(items: Iterable[Item], progress: Path) -> Iterator[Item]:
    """Yields items, and lets a file grow by a byte for each: its size is the progress of all."""
    done = 0
    with progress.open("ab", buffering=0) as file:
        for done, item in enumerate(items, 1):
            yield item
            if done % _TICK == 0:
                file.write(bytes(_TICK))
        file.write(bytes(done % _TICK))


def main(folder: str, *shards: str) -> None:
    """Converts some parts; ends with the process that asked for them."""
    process.end_with_parent()
    plan = Plan.load(Path(folder))
    for shard in shards:
        write_shard(plan, int(shard))


if __name__ == "__main__":
    main(*sys.argv[1:])
