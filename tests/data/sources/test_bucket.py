"""A bucket's folder, kept here: on PyArrow's own file systems, and on a real S3 server."""

import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import fs

from data import IngestError
from data.converting.convert import ingest
from data.sources import bucket, check_source, open_source
from data.sources.archive import ArchiveSource
from data.sources.corrections import corrections_path
from data.sources.folder import FolderSource
from pipeline.commands.main import main
from tests.data.images import class_tree, jpeg, write_tree
from tests.s3.server import S3Server

SECRET = "c2VjcmV0"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for an object store; below it are buckets."""
    folder = tmp_path / "store"
    folder.mkdir()
    files = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    monkeypatch.setattr(bucket, "_store", lambda address: files)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_copy_follows_its_folder(store: Path, tmp_path: Path) -> None:
    there = write_tree(
        store / "b/photos",
        {"a/1.jpg": b"1", "a/two words ü.jpg": b"2", "c/3.jpg": b"3", "d/e/4.jpg": b"4"},
    )
    here = bucket.fetch("s3://b/photos/", tmp_path)
    assert content(here) == content(there)
    assert here.name == "photos"
    kept = (here / "a/1.jpg").stat().st_ino
    (there / "a/two words ü.jpg").write_bytes(b"changed")
    (there / "c/3.jpg").unlink()
    shutil.rmtree(there / "d")
    (there / "d").write_bytes(b"a file now")
    told: list[int] = []
    assert bucket.fetch("s3://b/photos", tmp_path, lambda done, total: told.append(done)) == here
    assert content(here) == content(there)
    assert (here / "a/1.jpg").stat().st_ino == kept
    assert told[-1] == len(b"changed" + b"a file now")


def test_an_object_alone_and_a_table_with_its_folder(store: Path, tmp_path: Path) -> None:
    write_tree(store / "b", {"in/a.zip": b"zip", "in/labels.csv": b"path,label", "in/1.jpg": b"1"})
    archive = bucket.fetch("gs://b/in/a.zip", tmp_path)
    assert content(archive.parent) == {"a.zip": b"zip", ".lock": b""}
    table = bucket.fetch("gs://b/in/labels.csv", tmp_path)
    assert content(table.parent) == content(store / "b/in")
    assert table.name == "labels.csv"


def test_what_an_address_may_be_opened_as(store: Path, tmp_path: Path) -> None:
    class_tree(store / "b/photos", 1)
    write_tree(store / "b", {"a.zip": b"PK"})
    opened = open_source("s3://b/photos", cache=tmp_path)
    assert isinstance(opened, FolderSource)
    assert isinstance(open_source("s3://b/a.zip", cache=tmp_path), ArchiveSource)
    corrections = corrections_path("s3://b/photos", tmp_path)
    assert corrections == opened.path.with_name("photos.corrections.csv")


def test_corrections_outlive_the_next_copy(store: Path, tmp_path: Path) -> None:
    write_tree(store / "b", {"in/labels.csv": b"path,label\n"})
    bucket.fetch("s3://b/in/labels.csv", tmp_path)
    corrections = corrections_path("s3://b/in/labels.csv", tmp_path)
    assert corrections
    corrections.write_text("id,label,corrected\n")
    bucket.fetch("s3://b/in/labels.csv", tmp_path)
    assert corrections.exists()


def test_a_span_is_the_same_wherever_its_images_lie(store: Path, tmp_path: Path) -> None:
    photos = class_tree(store / "b/photos", 10)
    first = ingest("s3://b/photos", tmp_path / "data")
    assert (first.name, first.span, first.reused) == ("photos", 1, False)
    again = ingest(photos, tmp_path / "data")
    assert (again.span, again.reused) == (1, True)
    write_tree(photos, {"dog/new.jpg": jpeg(77)})
    assert ingest("s3://b/photos", tmp_path / "data").span == 2


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("s3://", "names no bucket"),
        ("s3:///key", "names no bucket"),
        ("s3://b/../other", "a part of it is no name"),
        ("s3://b/a//c", "a part of it is no name"),
        ("gs://b/none", "there is nothing at gs://b/none"),
        (f"s3://key:{SECRET}@b/photos", "has no keys in it: s3://BUCKET/FOLDER"),
    ],
)
def test_addresses_of_nothing(spec: str, error: str, store: Path, tmp_path: Path) -> None:
    (store / "b").mkdir()
    for ask in (lambda: open_source(spec, cache=tmp_path), lambda: check_source(spec)):
        with pytest.raises(IngestError, match=error) as told:
            ask()
        assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    ("listed", "part"),
    [
        ("b/photos/", ""),  # as PyArrow tells a key `photos//1.jpg`, for ever
        ("b/photos/..", ".."),
        (f"b/photos/{'x' * 300}", "x" * 300),
    ],
)
def test_keys_that_cannot_be_files(
    listed: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Listing:
        def get_file_info(self, asked: str | fs.FileSelector) -> fs.FileInfo | list[fs.FileInfo]:
            if isinstance(asked, str):
                return fs.FileInfo(asked, fs.FileType.Directory)
            return [fs.FileInfo(listed, fs.FileType.Directory)]

    monkeypatch.setattr(bucket, "_store", lambda address: Listing())
    with pytest.raises(IngestError, match=f"a part of it, '{re.escape(part)}', is no name"):
        bucket.fetch("s3://b/photos", tmp_path)


def test_a_store_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert main(["ingest", "s3://b/photos", "--workspace", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "signs: error: cannot read s3://b/photos: " in told
    assert "AWS_ENDPOINT_URL of another store than Amazon's" in told
    assert SECRET not in told


@pytest.fixture
def as_amazon(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server is what this process takes for Amazon's."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3


@pytest.mark.slow
def test_from_a_real_server(as_amazon: S3Server, tmp_path: Path) -> None:
    names = ["plain", "two words", "ü/手/✋", "100%41+&?#='\"", ".hidden"]
    there = as_amazon.buckets / "bucket/photos"  # a file there is an object
    made = write_tree(there / "odd", {name: name.encode() for name in names})
    many = write_tree(there / "many", {f"{number:05}": b"x" for number in range(1200)})
    as_amazon.client().create_dir("bucket/photos/empty")  # a mark: an object of no bytes
    here = bucket.fetch("s3://bucket/photos", tmp_path)
    assert content(here / "odd") == content(made)
    assert content(here / "many") == content(many)
    assert [*(here / "empty").iterdir()] == []
    before = {path: path.stat().st_ino for path in here.rglob("*") if path.is_file()}
    bucket.fetch("s3://bucket/photos", tmp_path)
    assert {path: path.stat().st_ino for path in here.rglob("*") if path.is_file()} == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"AWS_SECRET_ACCESS_KEY": SECRET}, "cannot read s3://bucket/photos: "),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "cannot read s3://bucket/photos: "),
    ],
)
def test_wrong_keys(
    change: dict[str, str], error: str, as_amazon: S3Server, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    class_tree(as_amazon.buckets / "bucket/photos")
    asked = ["ingest", "s3://bucket/photos", "--workspace", str(tmp_path / "workspace")]
    assert main(asked) == 0
    (as_amazon.buckets / "bucket/photos/cat/0.jpg").unlink()
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    assert main(asked) == 2
    told = capsys.readouterr().err
    assert error in told
    assert as_amazon.secret_key not in told
    assert SECRET not in told
    copies = (tmp_path / "workspace/data/.downloads").glob("*/photos/*/*.jpg")
    assert len([*copies]) == 20  # nothing is lost


@pytest.mark.slow
def test_keys_from_a_file_that_is_mounted(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "credentials"
    keys.write_text(
        f"[default]\naws_access_key_id = {s3.access_key}\naws_secret_access_key = {s3.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_REGION", s3.region)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.environment["AWS_ENDPOINT_URL"])
    class_tree(s3.buckets / "bucket/photos")
    assert ingest("s3://bucket/photos", tmp_path / "data").manifest.examples == 20


@pytest.mark.slow
def test_a_bucket_that_is_missing(as_amazon: S3Server, tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"nothing at s3://none|cannot read s3://none"):
        bucket.fetch("s3://none/photos", tmp_path)
    with pytest.raises(IngestError, match=r"nothing at s3://none|cannot read s3://none"):
        bucket.fetch("s3://none", tmp_path)


@pytest.mark.slow
def test_an_outage_loses_nothing(as_amazon: S3Server, tmp_path: Path) -> None:
    made = write_tree(
        as_amazon.buckets / "bucket/photos",
        {f"a/{number:05}": os.urandom(2000) for number in range(3000)},
    )

    def kill() -> None:
        wait_for(lambda: len([*tmp_path.glob("s3-bucket-*/photos/a/*")]) > 20)
        as_amazon.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(IngestError, match="the next try continues"):
        bucket.fetch("s3://bucket/photos", tmp_path)
    killer.join()
    (here,) = tmp_path.glob("s3-bucket-*/photos")
    half = content(here)
    assert 20 < len(half) < 3000
    assert half.items() <= content(made).items()  # each is whole
    told: list[int] = []
    as_amazon.start()
    bucket.fetch("s3://bucket/photos", tmp_path, lambda done, total: told.append(done))
    assert content(here) == content(made)
    assert max(told) == 2000 * (3000 - len(half))


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)
