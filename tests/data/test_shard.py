"""One part of a plan: its files, its summary, and the same again."""

import json
from pathlib import Path

import pytest

from data import shard, tfrecord
from data.plan import Listing, Plan, rejections_path
from data.sample import Sample
from data.shard import records_path, result_path, write_shard
from data.sources import open_source
from data.splits import Proportions
from tests.data.images import class_tree, write_tree


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Sixty photographs and a text file in one shard."""
    tree = write_tree(class_tree(tmp_path / "x", 30), {"cat/note.txt": b"no image"})
    folder = tmp_path / "plan"
    folder.mkdir()
    listing, source = Listing(folder), open_source(tree)
    source.survey(listing.add)
    plan = Plan(folder, source, ("cat", "dog"), Proportions(), 0, 10**6, listing.deal(0, 10**9))
    plan.save()
    return plan


def test_the_summary_says_what_the_files_hold(plan: Plan) -> None:
    write_shard(plan, 0)
    result = json.loads(result_path(plan.folder, 0).read_text())
    assert sum(one["records"] for one in result.values()) == 60
    for split, one in result.items():
        path = records_path(plan.folder, split, 0)
        samples = [Sample.parse(record) for record in tfrecord.read(path)]
        assert len(samples) == one["records"]
        assert path.stat().st_size == one["bytes"]
        assert {sample.split for sample in samples} == {split}
        labels = [sample.label for sample in samples]
        assert one["counts"] == {str(label): labels.count(label) for label in dict.fromkeys(labels)}
    (line,) = rejections_path(plan.folder, 0).read_text().splitlines()
    assert json.loads(line) == {"source_id": "cat/note.txt", "reason": "not an image"}
    assert plan.folder.joinpath("progress").stat().st_size == 61


def test_once_more_gives_the_same_bytes_and_leaves_nothing_else(plan: Plan) -> None:
    write_shard(plan, 0)
    first = {path.name: path.read_bytes() for path in plan.folder.iterdir()}
    shard.write_shard(plan, 0)
    second = {path.name: path.read_bytes() for path in plan.folder.iterdir()}
    assert first.pop("progress") * 2 == second.pop("progress")
    assert second == first
