"""What is to be converted, on disk, so that neither launcher nor worker holds it in memory.

    survey -> listing.jsonl -> divide -> part-00000.jsonl, part-00001.jsonl, ... -> one worker each

An item's part and its place there come from a hash of where it is: every shard holds a mixture of
all classes, and the same on every machine.
"""

import dataclasses
import hashlib
import json
import math
import pickle
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from data.sources.source import Ignored, Item, Rejection, Source
from data.splits import Proportions, divide, place_of
from signs.errors import UserError
from signs.features import SPLITS
from signs.image_bytes import canonical_bytes

SHARD_BYTES = 100 * 2**20
# Small data sets are cut so that a few processes have something to do each, and many small images
# so that many have.
_SHARD_IMAGES, _SHARDS_OF_SMALL = 250, 16
_MOST_IMAGES = 10_000
_BUFFERED = 10_000  # lines
_FEW = 20  # images of a class, of which one or two are for test
_LISTING = "listing.jsonl"


@dataclasses.dataclass(frozen=True)
class Plan:
    """One conversion, as the workers see it.

    Attributes:
        folder: Holds the parts, and takes the results; every worker must see it.
        source: Reads the images.
        class_names: In label order.
        seed: Of the order.
        max_pixels: Larger images are rejected.
        shards: How many parts there are.
    """

    folder: Path
    source: Source
    class_names: tuple[str, ...]
    seed: int
    max_pixels: int
    shards: int

    def save(self) -> None:
        """Writes the plan into its folder."""
        (self.folder / "plan.pickle").write_bytes(pickle.dumps(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote."""
        plan = pickle.loads((folder / "plan.pickle").read_bytes())
        assert isinstance(plan, cls)
        return plan

    def part(self, shard: int) -> Iterator[Item]:
        """Returns the items of one shard in their order; their lines are held, half as large."""
        with (self.folder / _part(shard)).open(encoding="utf-8") as file:
            lines = sorted(file, key=lambda line: _place(self.seed, read_item(line).source_id))
        return map(read_item, lines)


class Listing:
    """Takes what a survey finds and deals it out into parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items = 0
        self.rejected = 0
        self.bytes = 0  # of all items
        self.ignored: Counter[str] = Counter()
        self._undivided: Counter[str] = Counter()  # by class
        self._listing = (folder / _LISTING).open("w", encoding="utf-8")
        self._rejections = rejections_path(folder).open("w", encoding="utf-8")

    def add(self, found: Item | Rejection | Ignored) -> None:
        """Takes one thing that the survey found."""
        match found:
            case Item():
                self.items += 1
                self.bytes += found.size
                self._undivided[found.class_name] += found.split is None
                self._listing.write(item_line(found))
            case Rejection():
                self.rejected += 1
                self._rejections.write(rejection_line(found))
            case Ignored():
                self.ignored[found.kind] += 1

    def close(self) -> None:
        """Ends the survey."""
        self._listing.close()
        self._rejections.close()

    def __iter__(self) -> Iterator[Item]:
        """Yields the items of a survey that has ended."""
        return _items(self.folder / _LISTING)

    def reject(self, rejection: Rejection) -> None:
        """Takes what has been found not to be usable since the survey has ended."""
        self.rejected += 1
        with rejections_path(self.folder).open("a", encoding="utf-8") as file:
            file.write(rejection_line(rejection))

    def replace(self, items: Iterable[Item]) -> None:
        """Lists other items in place of those of the survey; they may be made of these."""
        aside, count = self.folder / f"other-{_LISTING}", 0
        self.bytes, self._undivided = 0, Counter()
        with aside.open("w", encoding="utf-8") as file:
            for count, item in enumerate(items, 1):  # noqa: B007 - the last is their number
                self.bytes += item.size
                self._undivided[item.class_name] += item.split is None
                file.write(item_line(item))
        self.items = count
        aside.replace(self.folder / _LISTING)

    def divide(
        self,
        source: Source,
        class_names: Sequence[str],
        proportions: Proportions,
        *,
        seed: int,
        max_pixels: int,
        placed: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        """Gives a split to every item that has none; those that cannot be read are rejected.

        With them, the pictures that have been `placed`, by split and class name, have their shares.

        About fifty bytes an item are held in memory. What has no digest is read for it. Of a class
        of few items each is decoded as well: one that is damaged must not be its only test image.
        """
        label_of = {name: label for label, name in enumerate(class_names)}
        places, labels = array("Q"), array("i")
        listing, readable = self.folder / _LISTING, self.folder / "readable.jsonl"
        with (
            readable.open("w", encoding="utf-8") as file,
            rejections_path(self.folder).open("a", encoding="utf-8") as rejections,
        ):
            for item in _items(listing):
                if item.split is None:
                    is_one_of_few = self._undivided[item.class_name] <= _FEW
                    try:
                        digest = item_digest(source, item, max_pixels if is_one_of_few else None)
                    except UserError as err:
                        rejections.write(rejection_line(Rejection(item.source_id, str(err))))
                        self.items, self.rejected = self.items - 1, self.rejected + 1
                        continue
                    places.append(place_of(digest, seed))
                    labels.append(label_of[item.class_name])
                file.write(item_line(item))
        there = np.zeros((len(class_names), len(SPLITS)), int)
        for (split, class_name), count in (placed or {}).items():
            there[label_of[class_name], SPLITS.index(split)] = count
        splits = iter(divide(np.asarray(places), np.asarray(labels), proportions, there))
        with listing.open("w", encoding="utf-8") as file:
            for item in _items(readable):
                if item.split is None:
                    item = dataclasses.replace(item, split=SPLITS[next(splits)])
                file.write(item_line(item))

    def deal(self, seed: int, shard_bytes: int) -> int:
        """Writes the parts and returns how many there are."""
        small = min(self.items // _SHARD_IMAGES, _SHARDS_OF_SMALL)
        many = math.ceil(self.items / _MOST_IMAGES)
        shards = max(math.ceil(self.bytes / shard_bytes), small, many, 1)
        for shard in range(shards):
            self.folder.joinpath(_part(shard)).touch()
        for lines in self._batches():
            dealt: dict[int, list[str]] = {}
            for line in lines:
                place = _place(seed, json.loads(line)[0])
                dealt.setdefault(int.from_bytes(place[:8], "big") % shards, []).append(line)
            for shard, part in dealt.items():
                with self.folder.joinpath(_part(shard)).open("a", encoding="utf-8") as file:
                    file.writelines(part)
        return shards

    def _batches(self) -> Iterator[list[str]]:
        with (self.folder / _LISTING).open(encoding="utf-8") as file:
            while lines := [line for _, line in zip(range(_BUFFERED), file, strict=False)]:
                yield lines


def rejections_path(folder: Path, shard: int | None = None) -> Path:
    """Returns where the rejections of the survey, or of one shard, are."""
    return folder / ("rejected.jsonl" if shard is None else f"rejected-{shard:05d}.jsonl")


def rejection_line(rejection: Rejection) -> str:
    """Returns one line of rejected.jsonl."""
    return json.dumps(dataclasses.asdict(rejection), ensure_ascii=False) + "\n"


def item_line(item: Item) -> str:
    """Returns an item as a line of JSON."""
    # dataclasses.astuple() would take four times as long.
    return json.dumps([getattr(item, name) for name in Item.__slots__]) + "\n"


def read_item(line: str) -> Item:
    """Reads what `item_line` returned."""
    return Item(*json.loads(line))


def _items(path: Path) -> Iterator[Item]:
    with path.open(encoding="utf-8") as file:
        yield from map(read_item, file)


def item_digest(source: Source, item: Item, max_pixels: int | None = None) -> str:
    """Returns the SHA-256 of an item's bytes, after decoding them where `max_pixels` is given."""
    if item.digest and max_pixels is None:
        return item.digest
    raw = source.read(item)
    if max_pixels is not None:
        canonical_bytes(raw, max_pixels=max_pixels)
    return hashlib.sha256(raw).hexdigest()


def _part(shard: int) -> str:
    return f"part-{shard:05d}.jsonl"


def _place(seed: int, source_id: str) -> bytes:
    return hashlib.blake2b(f"{seed} {source_id}".encode(), digest_size=16).digest()
