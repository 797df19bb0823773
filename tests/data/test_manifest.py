import dataclasses
import json

import pytest

from data import IngestError
from data.findings import Finding
from data.manifest import Manifest, Shard, damage, verify
from data.tfrecord import Writer


@pytest.fixture
def span(tmp_path):
    (tmp_path / "train").mkdir()
    path = "train/data-00000-of-00001.tfrecord.gz"
    with Writer(tmp_path / path) as writer:
        writer.write(b"one")
        writer.write(b"two")
        written = writer.close()
    manifest = Manifest(
        name="my-signs",
        span=1,
        version=2,
        class_names=("Hände hoch", "b"),
        counts={
            "train": {"Hände hoch": 1, "b": 1},
            "eval": {"Hände hoch": 0, "b": 0},
            "test": {"Hände hoch": 0, "b": 0},
        },
        shards=(Shard(path, "train", written.bytes, written.sha256, written.records),),
        source="folder",
        is_synthetic=False,
        fingerprint="f" * 64,
        settings={"seed": 0},
        tool_version="1",
        created="2026-01-01T00:00:00+00:00",
        rejected={"not an image": 2},
        ignored={".DS_Store": 1},
        findings=(Finding("no_eval", 2, "there are no eval images", ("a is b",)),),
    )
    (tmp_path / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return tmp_path, manifest


def test_round_trip(span):
    folder, manifest = span
    assert Manifest.load(folder) == manifest
    assert verify(folder) == manifest
    assert (manifest.examples, manifest.rejected_count) == (2, 2)
    assert manifest.split_size("train") == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "has the format 99, expected 2"),
        ({"class_names": ["a", "a"]}, "`class_names` must be two or more"),
        ({"class_names": None}, "is damaged"),
        ({"counts": {"train": {}}}, "`counts` must have"),
        ({"shards": []}, "add up to 2, its shards to 0"),
        ({"shards": [{"path": 3}]}, "is damaged"),
        ({"findings": [{"kind": "x"}]}, "is damaged"),
        ({"surprise": 1}, "is damaged"),
    ],
)
def test_a_damaged_manifest_is_named(span, change, message):
    folder, manifest = span
    fields = {**json.loads(manifest.to_json()), **change}
    del fields["checksum"]
    (folder / "manifest.json").write_text(json.dumps(fields))
    with pytest.raises(IngestError, match=message) as caught:
        Manifest.load(folder)
    assert str(folder) in str(caught.value)
    assert "ingest again" in str(caught.value)


def test_an_edit_by_hand_is_told_though_all_numbers_agree(span):
    folder, manifest = span
    path = folder / "manifest.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("Hände hoch", "Hände runter"), encoding="utf-8")
    with pytest.raises(IngestError) as caught:
        verify(folder)
    assert str(caught.value) == (
        f"{path} was edited since it was written. Remove that folder and ingest again."
    )
    # What an editor does to the white space alone changes nothing.
    path.write_text(json.dumps(json.loads(text)), encoding="utf-8")
    assert verify(folder) == manifest


def test_spans_of_tool_version_1_are_read(span):
    folder, manifest = span
    fields = json.loads(manifest.to_json())
    del fields["checksum"], fields["findings"]
    fields["warnings"] = ["there are no eval images"]
    (folder / "manifest.json").write_text(json.dumps(fields))
    assert verify(folder) == dataclasses.replace(manifest, findings=())


@pytest.mark.parametrize("name", [".DS_Store", "copy of data-00000-of-00001.tfrecord.gz"])
def test_a_file_that_does_not_belong_to_the_span_is_named(span, name):
    folder, _ = span
    (folder / "notes.txt").write_text("nobody reads this as data")
    verify(folder)
    for split in ("train", "test"):
        path = folder / split / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        with pytest.raises(IngestError) as caught:
            verify(folder)
        assert str(caught.value) == (
            f"{path} is no file of this span, and would be read as one: move it away."
        )
        path.unlink()


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"format": 1}'])
def test_something_else_is_not_a_manifest(span, text):
    folder, _ = span
    (folder / "manifest.json").write_text(text)
    with pytest.raises(IngestError, match="ingest again"):
        Manifest.load(folder)


def test_a_missing_manifest(tmp_path):
    with pytest.raises(IngestError, match=r"there is no manifest\.json in"):
        Manifest.load(tmp_path)


def test_a_changed_shard_is_named_with_the_remedy(span):
    folder, manifest = span
    (shard,) = manifest.shards
    path = folder / shard.path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1

    def found():
        with pytest.raises(IngestError) as caught:
            verify(folder)
        (what,) = damage(folder, manifest).values()
        assert str(caught.value) == (
            f"{path} {what}. Ingest the same source again, which repairs it, or copy the file "
            "here anew."
        )
        return what

    path.write_bytes(content)
    assert found() == "differs from its checksum"
    path.write_bytes(content[:-1])
    assert found() == f"has {shard.bytes - 1} bytes instead of {shard.bytes}"
    path.unlink()
    assert found() == "is missing"


def test_counts_and_shards_agree(span):
    _, manifest = span
    with pytest.raises(ValueError, match="add up to 2, its shards to 0"):
        dataclasses.replace(manifest, shards=())
