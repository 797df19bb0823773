"""A source and a version in, a file of answers out, by way of Beam and whatever happens."""

import csv
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.tfrecord import Writer
from pipeline.bulk import predict as bulk
from pipeline.bulk.answers import Predicted
from pipeline.bulk.machine import Machine
from pipeline.bulk.predict import predict
from signs import durable, features
from signs.errors import UserError
from signs.image_bytes import encode_png
from tests import ROOT
from tests.served import BLUE, CLASSES, GREEN, RED

ONE = Machine("the CPU", workers=1, threads=1, batch=16)
TWO = Machine("the CPU", workers=2, threads=1, batch=16)
KILLED = """
import gc, os, signal, sys
from pathlib import Path
gc.disable()  # which takes a third of TensorFlow's import
from pipeline.bulk import predict as bulk
from pipeline.bulk.answers import Predicted
from pipeline.bulk.machine import Machine

write_text = bulk.durable.write_text

def write(path, text):
    if path.name == "answers-00001.jsonl":
        os.kill(os.getpid(), signal.SIGKILL)
    write_text(path, text)

bulk.durable.write_text = write
source, out, version = sys.argv[1:]
machine = Machine("the CPU", workers=1, threads=1, batch=16)
bulk.predict(source, Path(out), Path(version), ["red", "green", "blue"], machine, print)
"""


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.bulk.listing.PART", 8)


@pytest.fixture
def ask(saved_model: Path) -> Callable[..., Predicted]:
    def ask(source: Path, out: Path, machine: Machine = TWO) -> Predicted:
        return predict(str(source), out, saved_model, CLASSES, machine, lambda progress: None)

    return ask


def folder_of(folder: Path, count: int) -> Path:
    """Pictures of which no two are alike; red, green and blue in turns."""
    folder.mkdir()
    for number in range(count):
        pixels = np.zeros([8, 8, 3], np.uint8)
        pixels[..., number % 3] = 255 - number % 200
        (folder / f"{number:04d}.png").write_bytes(encode_png(pixels))
    return folder


def lines_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.mark.usefixtures("small_parts")
def test_answers_every_picture_once_as_the_model_itself_does(
    ask: Callable[..., Predicted], saved_model: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    source = folder_of(tmp_path / "pictures", 50)
    predicted = ask(source, tmp_path / "answers.jsonl")
    lines = lines_of(tmp_path / "answers.jsonl")
    names = sorted(path.name for path in source.iterdir())
    assert [line["source"] for line in lines] == names
    model = tf.saved_model.load(str(saved_model)).signatures[features.SERVE_IMAGES]
    expected = model(image_bytes=tf.constant([(source / name).read_bytes() for name in names]))
    np.testing.assert_allclose(
        [line["probabilities"] for line in lines], expected[features.PROBABILITIES], atol=1e-6
    )
    named = [name.decode() for name in expected[features.PREDICTED_CLASS_NAME].numpy()]
    assert [line["class_name"] for line in lines] == named
    assert predicted.classes == {"red": 17, "green": 17, "blue": 16}
    assert (predicted.pictures, predicted.unanswered, predicted.reused) == (50, 0, 0)
    assert not (tmp_path / "answers.jsonl.parts").exists()


def test_goes_on_after_a_kill_to_the_same_file(
    ask: Callable[..., Predicted], saved_model: Path, tmp_path: Path
) -> None:
    source = folder_of(tmp_path / "pictures", 600)
    arguments = [str(source), str(tmp_path / "killed.csv"), str(saved_model)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], cwd=ROOT, capture_output=True, timeout=300
    )
    assert killed.returncode == -9, killed.stderr.decode()
    assert not (tmp_path / "killed.csv").exists()
    assert ask(source, tmp_path / "killed.csv").reused == 256
    assert ask(source, tmp_path / "undisturbed.csv").reused == 0
    text = (tmp_path / "killed.csv").read_text()
    assert text == (tmp_path / "undisturbed.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["source"] for row in rows] == [f"{number:04d}.png" for number in range(600)]


@pytest.mark.usefixtures("small_parts")
def test_answers_of_another_source_are_not_taken_over(
    ask: Callable[..., Predicted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, source = tmp_path / "answers.jsonl", folder_of(tmp_path / "pictures", 12)

    def stop(built: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "replace", stop)
        patch.setattr(durable, "write_text", lambda path, text: path.write_text(text))
        with pytest.raises(UserError, match=r"answers\.jsonl cannot be written: No space left"):
            ask(source, out, ONE)
    (source / "0000.png").write_bytes(GREEN)
    assert ask(source, out, ONE).reused == 0
    assert lines_of(out)[0]["class_name"] == "green"


def test_lists_what_cannot_be_answered(ask: Callable[..., Predicted], tmp_path: Path) -> None:
    source = tmp_path / "pictures"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "red.png").write_bytes(RED)
    (source / "cut.png").write_bytes(BLUE[:40])
    (source / "empty.jpg").touch()
    (source / "notes.txt").write_text("no picture")
    (source / "gone.png").symlink_to("nowhere")
    predicted = ask(source, tmp_path / "answers.jsonl", ONE)
    lines = {line["source"]: line.get("error") for line in lines_of(tmp_path / "answers.jsonl")}
    assert lines == {
        "cut.png": "truncated: the file ends before the picture does",
        "deep/red.png": None,
        "empty.jpg": "zero bytes",
        "gone.png": "a symbolic link to nothing",
    }
    assert (predicted.pictures, predicted.unanswered, predicted.passed_over) == (4, 3, 1)


def test_what_the_model_refuses_fails_alone(
    ask: Callable[..., Predicted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder_of(tmp_path / "pictures", 3)
    (source / "0001.png").write_bytes(b"no picture that TensorFlow decodes")
    monkeypatch.setattr(bulk, "canonical_bytes", lambda raw: raw)
    ask(source, tmp_path / "answers.jsonl", ONE)
    lines = lines_of(tmp_path / "answers.jsonl")
    assert [line.get("class_name") for line in lines] == ["red", None, "blue"]
    assert "Unknown image file format" in lines[1]["error"]


@pytest.mark.parametrize("kind", ["zip", "tfrecord"])
def test_other_sources_have_the_answers_of_the_folder(
    ask: Callable[..., Predicted], tmp_path: Path, kind: str
) -> None:
    from data.sample import Sample

    source = folder_of(tmp_path / "pictures", 5)
    files = sorted(source.iterdir())
    if kind == "zip":
        other = tmp_path / "pictures.zip"
        with zipfile.ZipFile(other, "w") as archive:
            for file in files:
                archive.write(file, file.name)
    else:
        other = tmp_path / "span"
        (other / "test").mkdir(parents=True)
        with Writer(other / "test" / "data-00000-of-00001.tfrecord.gz") as writer:
            for file in files:
                writer.write(Sample(file.read_bytes(), 0, "red", file.name, "test").serialize())
    for name, path in (("one.jsonl", source), ("other.jsonl", other)):
        ask(path, tmp_path / name, ONE)
    assert (tmp_path / "one.jsonl").read_text() == (tmp_path / "other.jsonl").read_text()


def test_each_kind_of_file_says_the_same(ask: Callable[..., Predicted], tmp_path: Path) -> None:
    import tensorflow as tf

    source = folder_of(tmp_path / "pictures", 4)
    (source / "cut.png").write_bytes(BLUE[:40])
    for suffix in ("csv", "jsonl", "parquet", "tfrecord"):
        ask(source, tmp_path / f"answers.{suffix}", ONE)
    lines = lines_of(tmp_path / "answers.jsonl")
    with (tmp_path / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    records = tf.data.TFRecordDataset(str(tmp_path / "answers.tfrecord"))
    examples = [tf.train.Example.FromString(one.numpy()) for one in records]
    for line, row, entry, example in zip(lines, rows, table, examples, strict=True):
        assert row["source"] == entry["source"] == line["source"]
        assert row["error"] == (entry["error"] or "") == line.get("error", "")
        told = example.features.feature["probabilities"].float_list.value
        if "error" in line:
            assert (row["p_red"], entry["probabilities"], list(told)) == ("", None, [])
            continue
        assert [float(row[f"p_{name}"]) for name in CLASSES] == line["probabilities"]
        np.testing.assert_array_equal(entry["probabilities"], np.float32(line["probabilities"]))
        np.testing.assert_array_equal(told, np.float32(line["probabilities"]))


def test_two_do_not_write_one_file(ask: Callable[..., Predicted], tmp_path: Path) -> None:
    source, out = folder_of(tmp_path / "pictures", 2), tmp_path / "answers.csv"
    (tmp_path / "answers.csv.parts").mkdir()
    with durable.lock(tmp_path / "answers.csv.parts"), pytest.raises(UserError, match="another"):
        ask(source, out)
