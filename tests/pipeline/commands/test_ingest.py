"""`signs ingest`: what it says of a folder of images."""

import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

SIGNS = Path(sys.executable).with_name("signs")


def write_images(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path, "PNG")


def test_ingest(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    for label in ("cat", "[red] dög"):
        folder = tmp_path / "pets" / label
        folder.mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (8, 8), (number, len(label), 0)).save(folder / f"{number}.png")
    (tmp_path / "pets" / "cat" / "bad.png").write_bytes(b"")
    (tmp_path / "pets" / "Thumbs.db").touch()
    code, out, err = signs("ingest", "pets")
    assert (code, out) == (2, "")
    assert "1 of 25 files were rejected, more than the 0.01 allowed (--max-rejected)" in err

    code, out, err = signs("ingest", "pets", "--max-rejected", "0.1")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "pets: span 1, version 1, ingested"
    assert lines[1] == "class train eval test"
    assert {line.rsplit(" ", 3)[0] for line in lines[2:5]} == {"cat", "[red] dög", "all"}
    assert lines[5].startswith("Rejected: 1 (1 ")
    stored = tmp_path / "workspace/data/pets/span-1/v-1"
    assert lines[6] == f"each of them: {stored / 'rejected.jsonl'}"
    assert lines[7].startswith("Ignored: 1 (1 ")
    assert lines[-1] == f"Stored: {stored}"

    code, out, err = signs("ingest", "pets", "--max-rejected", "0.1", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["reused"] is True
    assert told["class_names"] == ["[red] dög", "cat"]
    assert sum(sum(classes.values()) for classes in told["counts"].values()) == 24
    assert sum(told["rejected"].values()) == 1
    assert Path(told["rejected_list"]).exists()

    assert [finding["kind"] for finding in told["findings"]] == [
        "class_of_few_train",
        "class_of_few_test",
    ]
    assert told["warnings"] == [finding["text"] for finding in told["findings"]]
    assert Path(told["findings_list"]).read_text() == ""

    (damaged,) = (stored / "train").iterdir()
    damaged.write_bytes(b"")
    code, out, err = signs("ingest", "pets", "--max-rejected", "0.1")
    assert (code, err) == (0, "")
    assert out.startswith("pets: span 1, version 1, was damaged and is repaired\n")
    assert f"Repaired: train/{damaged.name} (damaged since it was written)" in out
    assert damaged.stat().st_size > 0


def test_what_is_not_clear_is_asked_and_answered(
    signs: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    names = [f"{fold}/{label}/{n}.png" for fold in ("a", "b") for label in "xy" for n in range(6)]
    write_images(tmp_path / "folds", *names, "pred/1.png", "pred/2.png")
    code, out, err = signs("ingest", "folds")
    assert (code, out) == (2, "")
    assert err.startswith("signs: error: it is not clear how the folder ")
    assert "  --layout classes  (each top folder is a class; we divide them)\n" in err

    code, out, _ = signs("ingest", "folds", "--split", "train=a", "--split", "test=b")
    assert code == 0
    assert "Ignored:  2 (2 in no folder that --split names)\n" in out
    assert "Source:   folder folds: train from a, test from b, eval out of train\n" in out
    assert [line.split()[-1] for line in out.splitlines() if line.startswith(("x ", "y "))] == [
        "6",
        "6",
    ]
    # Answers belong to what identifies a span.
    code, out, _ = signs("ingest", "folds", "--split", "train=b", "--split", "test=a")
    assert (code, out.splitlines()[0]) == (0, "folds: span 1, version 2, ingested")
    code, out, _ = signs("ingest", "folds", "--split", "train=a", "--split", "test=b")
    assert (code, out.splitlines()[0]) == (0, "folds: span 1, version 1, was there already")
    code, _, err = signs("ingest", "folds", "--layout", "classes")
    assert code == 2
    assert "the data set 'folds' is there already, with other classes" in err
    code, out, _ = signs("ingest", "folds", "--layout", "classes", "--name", "other")
    assert (code, out.splitlines()[0]) == (0, "other: span 1, version 1, ingested")


def test_names_in_a_zip(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    class Info(zipfile.ZipInfo):
        def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - Python's name
            return self.filename.encode("cp866"), 0

    write_images(tmp_path, "1.png", "2.png")
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as file:
        for label in ("кот", "пёс"):
            file.writestr(Info(f"{label}/1.png"), (tmp_path / "1.png").read_bytes())
            file.writestr(Info(f"{label}/2.png"), (tmp_path / "2.png").read_bytes())
    code, _, err = signs("ingest", "pets.zip")
    assert code == 2
    assert "  --zip-encoding cp866    кот/1.png\n" in err
    code, out, _ = signs("ingest", "pets.zip", "--zip-encoding", "cp866", "--json")
    assert (code, json.loads(out)["class_names"]) == (0, ["кот", "пёс"])


def test_an_endless_folder_can_be_left(tmp_path: Path) -> None:
    command, pipe = [SIGNS, "ingest", "/", "--yes"], subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("workspace/data/.ingest-*/listing.jsonl")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    if process.returncode == 2:  # so small a machine that all of it was listed already
        pytest.skip(err.decode())
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    assert not list(tmp_path.glob("workspace/data/.ingest-*"))


@pytest.mark.parametrize("place", ["/", "//", "~", "home", "home/.."])
def test_all_of_a_disk_or_a_home_is_asked_about(
    signs: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    what = "a whole file system" if place.startswith("/") else "a home folder"
    told = f"{place} is {what}, all of which would be read: name the folder of the images in it, "
    asking = [[word, "--data", place] for word in ("run", "leaks", "suspects", "compile")]
    also = ["--data", "synthetic:12", "--also-test", f"other={place}"]
    for command in (["ingest", place], *asking, ["run", *also], ["compile", *also]):
        code, out, err = signs(*command)  # without a terminal
        assert (code, out, err.split()) == (2, "", f"signs: error: {told}or add --yes".split())
    assert not (tmp_path / "workspace").exists()
    code, _, err = signs("ingest", "home", "--yes")
    assert (code, "is empty" in err) == (2, True)


def test_what_cannot_fit_on_the_disk_is_not_begun(
    signs: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    code, out, err = signs("ingest", "synthetic:600")
    told = (
        "signs: error: 600 images take about 5 MiB as TFRecords, and 1 MiB are free at "
        f"{tmp_path}/workspace/data: make room, or name another disk with --workspace"
    )
    assert (code, out, err.split()) == (2, "", told.split())
    assert [path.name for path in tmp_path.glob("workspace/data/*")] == [".lock"]


def test_what_a_score_hides_is_told(
    signs: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    for number, path in enumerate(("train/a/1", "train/a/2", "train/b/3", "val/a/4", "test/a/5")):
        image = tmp_path / "pets" / f"{path}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(image)
    (tmp_path / "pets/test/a/copy.png").write_bytes((tmp_path / "pets/train/a/1.png").read_bytes())
    code, out, err = signs("ingest", "pets")
    assert (code, err) == (0, "")
    stored = tmp_path / "workspace/data/pets/span-1/v-1"
    assert out.splitlines()[-6:] == [
        "Note:     1 of 2 classes has fewer than 5 test images: a (2)",
        "Note:     1 of 2 test images are train or eval images, too: the score on them says "
        "nothing of new pictures",
        "            test/a/copy.png is train/a/1.png",
        f"  all such pictures: {stored / 'findings.jsonl'}",
        "Source:   folder pets: train from train, eval from val, test from test",
        f"Stored:   {stored}",
    ]
