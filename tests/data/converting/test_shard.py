"""One part of a plan: its files, its summary, and the same again."""

import json
from pathlib import Path

import pytest

from data import tfrecord
from data.converting import shard
from data.converting.plan import Listing, Plan, rejections_path
from data.converting.shard import records_path, result_path, write_shard
from data.pictures import Picture, digest_of, pictures_path
from data.sample import Sample
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
    listing.close()
    listing.divide(source, ("cat", "dog"), Proportions(), seed=0, max_pixels=10**6)
    plan = Plan(folder, source, ("cat", "dog"), 0, 10**6, listing.deal(0, 10**9))
    plan.save()
    return plan


def test_the_summary_says_what_the_files_hold(plan: Plan) -> None:
    write_shard(plan, 0)
    result = json.loads(result_path(plan.folder, 0).read_text())
    assert sum(one["records"] for one in result.values()) == 60
    lines = pictures_path(plan.folder, 0).read_text(encoding="utf-8").splitlines()
    pictures = {picture.source_id: picture for picture in map(Picture.from_line, lines)}
    assert len(pictures) == 60
    for split, one in result.items():
        path = records_path(plan.folder, split, 0)
        samples = [Sample.parse(record) for record in tfrecord.read(path)]
        assert len(samples) == one["records"]
        assert path.stat().st_size == one["bytes"]
        assert {sample.split for sample in samples} == {split}
        for sample in samples:
            digest = digest_of(sample.image)
            assert pictures.pop(sample.source_id) == Picture(
                digest, sample.source_id, split, sample.class_name
            )
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
