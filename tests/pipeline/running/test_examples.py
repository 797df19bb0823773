"""From a model's data to pictures that it can be tried on."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.manifest import Manifest, Shard
from data.sample import Sample
from data.synthetic import draw
from data.tfrecord import Writer
from pipeline.environment import Workspace
from pipeline.running.examples import write_examples
from signs.image_bytes import encode_png


def make_span(workspace: Workspace, number: int, samples: list[tuple[int, str, bytes]]) -> Path:
    """A span of data set "cats" with these test images (label, class, image)."""
    directory = workspace.data / "cats" / f"span-{number}" / "v-1"
    (directory / "test").mkdir(parents=True)
    path = "test/data-00000-of-00001.tfrecord.gz"
    with Writer(directory / path) as writer:
        for label, name, image in samples:
            writer.write(Sample(image, label, name, f"{label}", "test").serialize())
        written = writer.close()
    names = tuple(dict(sorted((label, name) for label, name, _ in samples)).values())
    counts = {split: dict.fromkeys(names, 0) for split in ("train", "eval", "test")}
    for _, name, _ in samples:
        counts["test"][name] += 1
    manifest = Manifest(
        name="cats",
        span=number,
        version=1,
        class_names=names,
        counts=counts,
        shards=(Shard(path, "test", written.bytes, written.sha256, written.records),),
        source="folder",
        is_synthetic=False,
        fingerprint="f" * 64,
        settings={},
        tool_version="1",
        created="2026-01-01T00:00:00+00:00",
        rejected={},
        ignored={},
    )
    (directory / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return directory


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    (workspace.serving("cats") / "1").mkdir(parents=True)
    return workspace


PNG = encode_png(np.zeros((2, 2, 3), np.uint8))
JPEG = b"\xff\xd8\xffjpeg"


def test_examples_are_the_first_test_image_of_each_class(workspace: Workspace) -> None:
    make_span(workspace, 1, [(0, "old", PNG), (1, "older", PNG)])
    make_span(
        workspace,
        2,
        [(1, "dog/puppy", JPEG), (0, "wild cat", PNG), (1, "dog/puppy", b"\xff\xd8\xffother")],
    )
    folder = write_examples(workspace, "cats")
    assert folder == workspace.root / "examples" / "cats"
    for _ in range(2):  # what was there is replaced
        (folder / "stale.png").touch()
        write_examples(workspace, "cats")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
            "dog%2Fpuppy.jpg": JPEG,
            "wild cat.png": PNG,
        }


def test_of_many_classes_twelve_have_an_example(workspace: Workspace) -> None:
    make_span(workspace, 1, [(label, f"class {label:02}", PNG) for label in range(20)])
    names = sorted(path.stem for path in write_examples(workspace, "cats").iterdir())
    assert names == [f"class {label:02}" for label in range(12)]


def test_without_data_there_are_drawn_hands(workspace: Workspace) -> None:
    paths = sorted(write_examples(workspace, "cats").iterdir())
    assert [path.name for path in paths] == [f"{digit}.png" for digit in range(6)]
    image = Image.open(io.BytesIO(paths[3].read_bytes()))
    assert np.array_equal(np.asarray(image), draw(0, 3))


@pytest.mark.parametrize("damaged", ["manifest.json", "test/data-00000-of-00001.tfrecord.gz"])
def test_damaged_data_do_not_keep_a_model_from_being_served(
    workspace: Workspace, damaged: str
) -> None:
    directory = make_span(workspace, 1, [(0, "a", PNG), (1, "b", PNG)])
    (directory / damaged).write_bytes(b"damaged")
    assert len(list(write_examples(workspace, "cats").iterdir())) == 6
