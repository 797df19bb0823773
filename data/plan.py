"""What is to be converted, on disk, so that neither launcher nor worker holds it in memory.

    survey -> listing.jsonl -> part-00000.jsonl, part-00001.jsonl, ... -> one worker each

An item's part and its place there come from a hash of where it is: every shard holds a mixture of
all classes, and the same on every machine.
"""

import dataclasses
import hashlib
import json
import math
import pickle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from data.sources.source import Ignored, Item, Rejection, Source
from data.splits import Proportions

SHARD_BYTES = 100 * 2**20
# Small data sets are cut so that a few processes have something to do each.
_SHARD_IMAGES = 250
_SHARDS_OF_SMALL = 16
_BUFFERED = 100_000  # lines


@dataclasses.dataclass(frozen=True)
class Plan:
    """One conversion, as the workers see it.

    Attributes:
        folder: Holds the parts, and takes the results; every worker must see it.
        source: Reads the images.
        class_names: In label order.
        proportions: How to divide the items whose split is None.
        seed: Of the order and of the division.
        max_pixels: Larger images are rejected.
        shards: How many parts there are.
    """

    folder: Path
    source: Source
    class_names: tuple[str, ...]
    proportions: Proportions | None
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

    def part(self, shard: int) -> list[Item]:
        """Returns the items of one shard in their order."""
        with self.folder.joinpath(_part(shard)).open(encoding="utf-8") as file:
            items = [Item(*json.loads(line)) for line in file]
        return sorted(items, key=lambda item: _place(self.seed, item.source_id))


class Listing:
    """Takes what a survey finds and deals it out into parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items = 0
        self.rejected = 0
        self.ignored: Counter[str] = Counter()
        self._bytes = 0
        self._listing = (folder / "listing.jsonl").open("w", encoding="utf-8")
        self._rejections = rejections_path(folder).open("w", encoding="utf-8")

    def add(self, found: Item | Rejection | Ignored) -> None:
        """Takes one thing that the survey found."""
        match found:
            case Item():
                self.items += 1
                self._bytes += found.size
                self._listing.write(json.dumps(dataclasses.astuple(found)) + "\n")
            case Rejection():
                self.rejected += 1
                self._rejections.write(rejection_line(found))
            case Ignored():
                self.ignored[found.kind] += 1

    def deal(self, seed: int, shard_bytes: int) -> int:
        """Writes the parts and returns how many there are."""
        self._listing.close()
        self._rejections.close()
        small = min(self.items // _SHARD_IMAGES, _SHARDS_OF_SMALL)
        shards = max(math.ceil(self._bytes / shard_bytes), small, 1)
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
        with (self.folder / "listing.jsonl").open(encoding="utf-8") as file:
            while lines := [line for _, line in zip(range(_BUFFERED), file, strict=False)]:
                yield lines


def rejections_path(folder: Path, shard: int | None = None) -> Path:
    """Returns where the rejections of the survey, or of one shard, are."""
    return folder / ("rejected.jsonl" if shard is None else f"rejected-{shard:05d}.jsonl")


def rejection_line(rejection: Rejection) -> str:
    """Returns one line of rejected.jsonl."""
    return json.dumps(dataclasses.asdict(rejection), ensure_ascii=False) + "\n"


def _part(shard: int) -> str:
    return f"part-{shard:05d}.jsonl"


def _place(seed: int, source_id: str) -> bytes:
    return hashlib.blake2b(f"{seed} {source_id}".encode(), digest_size=16).digest()
