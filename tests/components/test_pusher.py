"""A version appears whole or not at all, once, and with a number above all others."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from components.pusher.executor import publish


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    return folder


def versions(base: Path) -> list[str]:
    return sorted(path.name for path in base.iterdir())


def test_publishes_every_file_under_the_time(model: Path, tmp_path: Path) -> None:
    begun = int(time.time())
    version = publish(model, tmp_path / "deep" / "serving")
    assert begun <= int(version.name) <= time.time()
    assert (version / "saved_model.pb").read_bytes() == b"graph"
    assert (version / "variables" / "variables.index").read_bytes() == b"weights"


def test_the_same_model_is_not_pushed_twice(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "serving"
    first = publish(model, base)
    assert publish(model, base) == first
    assert versions(base) == [first.name]


def test_a_changed_file_makes_a_higher_version(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "serving"
    first = publish(model, base)
    # Same size, same second: only the content tells.
    (model / "saved_model.pb").write_bytes(b"hparg")
    second = publish(model, base)
    assert int(second.name) > int(first.name)
    assert versions(base) == [first.name, second.name]


def test_an_older_model_comes_back_as_a_new_version(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "serving"
    old = shutil.copytree(model, tmp_path / "old")
    first = publish(old, base)
    (model / "saved_model.pb").write_bytes(b"better")
    second = publish(model, base)
    third = publish(old, base)
    assert int(first.name) < int(second.name) < int(third.name)


def test_the_number_is_above_a_version_from_the_future(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "serving"
    (base / "99999999999").mkdir(parents=True)
    assert publish(model, base).name == "100000000000"


def test_leftovers_of_a_killed_push_go(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "serving"
    leftover = base / ".pushing-1700000000"
    leftover.mkdir(parents=True)
    (leftover / "saved_model.pb").write_bytes(b"half")
    version = publish(model, base)
    assert versions(base) == [version.name]


def test_a_full_disk_leaves_nothing(model: Path, tmp_path: Path) -> None:
    """On a real file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root alone")
    try:
        first = publish(model, disk / "serving")
        (model / "variables" / "variables.data").write_bytes(b"x" * 200_000)
        with pytest.raises(OSError, match="No space left"):
            publish(model, disk / "serving")
        assert versions(disk / "serving") == [first.name]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
