"""SpanGen on small spans: the Examples are the span's own files, in order, and whole."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tfx.proto import example_gen_pb2
from tfx.types.standard_artifacts import Examples

from components.span_gen import SpanGen
from components.span_gen.executor import Executor
from data import IngestError
from data.converting.convert import ingest
from data.sample import read_samples
from signs.features import SPLITS
from tests.data.images import class_tree, jpeg, write_tree
from tests.kubeflow.step.spans import write_span


def generate(base: Path, target: Path, *splits: str) -> Examples:
    """Runs the executor on version 2 of span 1, with the parameters of the real component."""
    component = SpanGen(str(base), dict.fromkeys(splits, "span-1/v-2/manifest.json"))
    examples = Examples()
    examples.uri = str(target)
    Executor().Do({}, {"examples": [examples]}, component.exec_properties)
    return examples


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder of another file system than the span's."""
    shared_memory = Path("/dev/shm")
    if (
        not os.access(shared_memory, os.W_OK)
        or shared_memory.stat().st_dev == tmp_path.stat().st_dev
    ):
        pytest.skip("there is only one file system")
    folder = Path(tempfile.mkdtemp(dir=shared_memory))
    yield folder
    shutil.rmtree(folder)


def test_the_examples_are_the_files_of_the_span(tmp_path: Path) -> None:
    span = write_span(tmp_path, 1, 2)
    examples = generate(tmp_path, tmp_path / "examples", *SPLITS)
    assert json.loads(examples.split_names) == [*SPLITS]
    payload = examples.get_string_custom_property("payload_format")
    assert payload == example_gen_pb2.PayloadFormat.Name(example_gen_pb2.FORMAT_TF_EXAMPLE)
    for split in SPLITS:
        [path] = Path(examples.uri, f"Split-{split}").iterdir()
        assert path.samefile(span / split / "records.gz")


def test_a_single_split_stays_one(tmp_path: Path) -> None:
    write_span(tmp_path, 1, 2)
    examples = generate(tmp_path, tmp_path / "examples", "test")
    assert json.loads(examples.split_names) == ["test"]
    assert len([*read_samples(Path(examples.uri, "Split-test"))]) == 4


def test_files_go_to_another_file_system_as_copies(tmp_path: Path, elsewhere: Path) -> None:
    span = write_span(tmp_path, 1, 2)
    generate(tmp_path, elsewhere / "examples", "train")
    [copy] = (elsewhere / "examples" / "Split-train").iterdir()
    assert copy.read_bytes() == (span / "train" / "records.gz").read_bytes()
    assert not copy.samefile(span / "train" / "records.gz")


def test_an_altered_file_is_named(tmp_path: Path) -> None:
    shard = write_span(tmp_path, 1, 2) / "eval" / "records.gz"
    content = bytearray(shard.read_bytes())
    content[90] ^= 1
    shard.write_bytes(content)
    with pytest.raises(IngestError, match=r"eval/records\.gz differs from its checksum"):
        generate(tmp_path, tmp_path / "examples", *SPLITS)
    assert not (tmp_path / "examples").exists()


def test_a_disk_that_refuses_is_not_taken_for_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_span(tmp_path, 1, 2)
    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        generate(tmp_path, tmp_path / "examples", "train")


def test_a_window_of_spans_without_what_is_gone(tmp_path: Path) -> None:
    tree = class_tree(tmp_path / "pets")
    ingest(tree, tmp_path / "data")
    write_tree(tree, {"cat/new.jpg": jpeg(99)})
    (tree / "dog/1.jpg").unlink()
    second = ingest(tree, tmp_path / "data")

    def ids(choice: str, *splits: str) -> list[str]:
        patterns = dict.fromkeys(splits, "span-2/v-1/manifest.json")
        component = SpanGen(str(second.directory.parents[1]), patterns, spans=choice)
        examples = Examples()
        examples.uri = str(tmp_path / choice)
        Executor().Do({}, {"examples": [examples]}, component.exec_properties)
        folders = [Path(examples.uri, f"Split-{split}") for split in splits]
        return sorted(one.source_id for folder in folders for one in read_samples(folder))

    here = [path.relative_to(tree).as_posix() for path in tree.rglob("*.jpg")]
    assert ids("all", *SPLITS) == sorted(here)
    assert ids("last:1", "train") == ["cat/new.jpg"]
    with pytest.raises(IngestError, match=r"pets has no test images in the spans 2 \(--spans 2\)"):
        ids("2", "train", "test")
