"""What TF Serving takes for a version, and nothing else."""

from pathlib import Path

import pytest

from signs.versions import (
    VersionError,
    complete_versions,
    is_complete,
    version_folders,
    version_name,
    version_number,
)


def push(base: Path, *names: str, file: str = "saved_model.pb") -> None:
    for name in names:
        (base / name).mkdir()
        (base / name / file).touch()


@pytest.mark.parametrize("name", ["3", "v3", "V3", "003", " v3\n", version_name(3)])
def test_a_name_has_a_number(name: str) -> None:
    assert version_number(name) == 3


@pytest.mark.parametrize("name", ["", "v", "-3", "v-3", "3.0", "v3.1", "stable", "vv3", str(2**63)])
def test_what_names_no_version(name: str) -> None:
    with pytest.raises(VersionError, match=r"is a number, such as v3 or 3\. Received: "):
        version_number(name)


def test_numbers_are_versions_however_they_are_written(tmp_path: Path) -> None:
    push(tmp_path, "1", "002", "10", "+5", " 6", "-4", str(2**63 - 1))
    for other in ("v3", "3.0", "0x7", "7a", "٣", "1_0", ".pushing-8", "9.part", str(2**63)):
        push(tmp_path, other)
    assert version_folders(tmp_path) == [
        (6, tmp_path / " 6"),
        (5, tmp_path / "+5"),
        (-4, tmp_path / "-4"),
        (2, tmp_path / "002"),
        (1, tmp_path / "1"),
        (10, tmp_path / "10"),
        (2**63 - 1, tmp_path / str(2**63 - 1)),
    ]
    assert list(complete_versions(tmp_path)) == [-4, 1, 2, 5, 6, 10, 2**63 - 1]


def test_two_spellings_of_a_number(tmp_path: Path) -> None:
    push(tmp_path, "007", "7")
    assert version_folders(tmp_path) == [(7, tmp_path / "007"), (7, tmp_path / "7")]
    assert complete_versions(tmp_path) == {7: tmp_path / "7"}


def test_a_version_without_its_model_is_not_complete(tmp_path: Path) -> None:
    (tmp_path / "1" / "variables").mkdir(parents=True)
    (tmp_path / "2").touch()
    push(tmp_path, "3", file="saved_model.pbtxt")
    push(tmp_path, "4")
    assert [is_complete(tmp_path / name) for name in "1234"] == [False, False, True, True]
    assert complete_versions(tmp_path) == {3: tmp_path / "3", 4: tmp_path / "4"}
    assert [number for number, _ in version_folders(tmp_path)] == [1, 2, 3, 4]


def test_nothing_was_ever_pushed(tmp_path: Path) -> None:
    assert complete_versions(tmp_path / "missing") == {}
    assert complete_versions(tmp_path) == {}
    with pytest.raises(FileNotFoundError):
        version_folders(tmp_path / "missing")
