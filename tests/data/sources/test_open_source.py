import os
from pathlib import Path

import pytest

from data import IngestError
from data.sources import open_source
from data.sources.archive import ArchiveSource
from data.sources.course_hdf5 import Hdf5Source
from data.sources.drawn import SyntheticSource
from data.sources.folder import FolderSource


def test_synthetic():
    assert open_source("synthetic", seed=3) == SyntheticSource(1200, 3)
    assert open_source("synthetic:60") == SyntheticSource(60, 0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("synthetic:", "needs a whole number, as in synthetic:1200"),
        ("synthetic:many", "needs a whole number"),
        ("synthetic:1.5", "needs a whole number"),
        ("synthetic:0", "must be from 2 to 100,000,000 images. Received: 0"),
        ("synthetic:-6", "must be from 2 to 100,000,000 images. Received: -6"),
        ("synthetic:1000000000", "must be from 2"),
        ("", "there is no ''. Expected synthetic"),
        ("sythetic", "there is no 'sythetic'. Expected synthetic"),
        ("/no/such/folder", "there is no '/no/such/folder'"),
    ],
)
def test_specs_that_make_no_sense(spec, message):
    with pytest.raises(IngestError, match=message):
        open_source(spec)


def test_a_folder_called_synthetic_is_opened_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "synthetic" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert open_source("./synthetic") == FolderSource(tmp_path / "synthetic")
    assert open_source(Path("synthetic")) == FolderSource(tmp_path / "synthetic")


def test_kinds_of_files(tmp_path):
    for name in ("a.zip", "b.h5", "c.HDF5"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "unnamed").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert open_source(tmp_path / "a.zip") == ArchiveSource(tmp_path / "a.zip")
    assert open_source(tmp_path / "b.h5") == Hdf5Source((tmp_path / "b.h5",))
    assert open_source(tmp_path / "c.HDF5") == Hdf5Source((tmp_path / "c.HDF5",))
    assert open_source(tmp_path / "unnamed") == Hdf5Source((tmp_path / "unnamed",))


def test_a_folder_of_hdf5_files(tmp_path):
    for name in ("test_signs.h5", "train_signs.h5"):
        (tmp_path / name).write_bytes(b"x")
    pair = (tmp_path / "test_signs.h5", tmp_path / "train_signs.h5")
    assert open_source(tmp_path) == Hdf5Source(pair)
    (tmp_path / "third.h5").write_bytes(b"x")
    with pytest.raises(IngestError, match=r"holds 3 \.h5 files: name the one to ingest"):
        open_source(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"x")
    with pytest.raises(IngestError, match=r"holds a\.zip, test_signs\.h5.*: name the one"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.zip", b"", "is empty: zero bytes"),
        ("a.jpg", b"\xff\xd8\xff", r"is of no kind that is known\. Expected synthetic"),
        (
            "a.tar.gz",
            b"\x1f\x8b",
            r"is a packed \(gzip\) archive, .*\n  mkdir images && tar xf",
        ),
        ("a.tar", bytes(257) + b"ustar", "is a tar archive, which is not read. Unpack it and name"),
        ("a.rar", b"Rar!\x1a\x07\x01", "is a RAR archive, which is not read"),
        (
            "a b.7z",
            b"7z\xbc\xaf\x27\x1c",
            r"\n  mkdir images && 7z x '/.*a b\.7z'",
        ),
    ],
)
def test_other_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IngestError, match=message):
        open_source(tmp_path / name)


def test_an_empty_folder_and_a_pipe(tmp_path):
    with pytest.raises(IngestError, match=r"is empty\. Expected one folder per class"):
        open_source(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IngestError, match="is neither a folder nor a regular file"):
        open_source(tmp_path / "pipe")
