"""Every item goes to one shard, always the same, and the classes are mixed."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from data.converting import plan as plan_module
from data.converting.plan import Listing, Plan, rejections_path
from data.sources.drawn import SyntheticSource
from data.sources.source import Emit, Ignored, Item, Rejection, Surveyed, UnreadableError
from data.splits import Proportions
from tests.data.images import jpeg


def listing(folder: Path, count: int, size: int = 1000) -> Listing:
    found = Listing(folder)
    for number in range(count):
        found.add(Item(f"{number}.jpg", "ab"[number * 2 // count], None, number, size))
    return found


def plan(folder: Path, shards: int, seed: int = 0) -> Plan:
    return Plan(folder, SyntheticSource(2), ("a", "b"), seed, 10**6, shards)


def dealt(folder: Path, count: int, seed: int = 0, shard_bytes: int = 100_000) -> list[list[str]]:
    folder.mkdir()
    found = listing(folder, count)
    found.close()
    shards = found.deal(seed, shard_bytes)
    dealing = plan(folder, shards, seed)
    return [[item.source_id for item in dealing.part(shard)] for shard in range(shards)]


def test_every_item_is_in_one_shard_and_shards_are_alike(tmp_path: Path) -> None:
    parts = dealt(tmp_path / "plan", 1000)
    assert len(parts) == 10  # 1000 items of 1000 bytes, 100,000 bytes a shard
    assert sorted(name for part in parts for name in part) == sorted(
        f"{number}.jpg" for number in range(1000)
    )
    assert all(60 < len(part) < 150 for part in parts)
    early = [sum(int(name.split(".")[0]) < 500 for name in part) for part in parts]
    assert all(0.3 < count / len(part) < 0.7 for count, part in zip(early, parts, strict=True))


def test_the_seed_alone_decides(tmp_path: Path) -> None:
    first = dealt(tmp_path / "1", 600)
    assert dealt(tmp_path / "2", 600) == first
    assert dealt(tmp_path / "3", 600, seed=1) != first


def test_few_items_make_few_shards(tmp_path: Path) -> None:
    for count, shards in ((0, 1), (1, 1), (499, 1), (500, 2), (1000, 4)):
        assert len(dealt(tmp_path / str(count), count, shard_bytes=10**9)) == shards


def test_many_small_items_make_many_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "_MOST_IMAGES", 50)
    assert len(dealt(tmp_path / "many", 1001, shard_bytes=10**9)) == 21


class Bytes:
    """A source whose items hold their bytes; `gone` cannot be read."""

    def __init__(self) -> None:
        self.read_ids: list[str] = []

    def read(self, item: Item) -> bytes:
        self.read_ids.append(item.source_id)
        if item.reference == "gone":
            raise UnreadableError("gone while it was ingested")
        return jpeg(int(item.reference)) if str(item.reference).isdigit() else b"no image"

    def survey(self, emit: Emit) -> Surveyed:
        raise NotImplementedError

    def close(self) -> None:
        pass


def test_a_division_gives_every_item_a_split_and_looks_closer_at_small_classes(
    tmp_path: Path,
) -> None:
    found, source = Listing(tmp_path), Bytes()
    for number in range(30):  # their digests are known, and the class is no small one
        digest = hashlib.sha256(jpeg(number)).hexdigest()
        found.add(Item(f"a/{number}", "a", None, number, 9, digest))
    for name, reference in enumerate((101, 102, 103, "gone", "text")):
        found.add(Item(f"b/{name}", "b", None, reference, 9))
    found.add(Item("a/test", "a", "test", 200, 9))
    found.close()
    found.divide(source, ("a", "b"), Proportions(), seed=0, max_pixels=10**6)
    assert source.read_ids == [f"b/{name}" for name in range(5)]
    assert (found.items, found.rejected) == (34, 2)
    lines = rejections_path(tmp_path).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"source_id": "b/3", "reason": "gone while it was ingested"},
        {"source_id": "b/4", "reason": "not an image"},
    ]
    items = [*plan(tmp_path, found.deal(0, 10**9)).part(0)]
    splits = Counter((item.class_name, item.split) for item in items)
    assert splits == {
        ("a", "train"): 24, ("a", "eval"): 3, ("a", "test"): 4,
        ("b", "train"): 1, ("b", "eval"): 1, ("b", "test"): 1,
    }  # fmt: skip


def test_what_cannot_be_used_is_counted_and_listed(tmp_path: Path) -> None:
    found = listing(tmp_path, 2)
    found.add(Rejection("größe.txt", "not an image"))
    for _ in range(2):
        found.add(Ignored(".DS_Store"))
    found.close()
    assert (found.items, found.rejected, found.ignored) == (2, 1, {".DS_Store": 2})
    lines = rejections_path(tmp_path).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"source_id": "größe.txt", "reason": "not an image"}
    ]


def test_a_plan_is_read_as_it_was_saved(tmp_path: Path) -> None:
    saved = plan(tmp_path, 3)
    saved.save()
    assert Plan.load(tmp_path) == saved
