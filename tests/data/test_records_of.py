"""Files as a Beam step reads them whole: what is damaged is named, however it is damaged."""

from pathlib import Path

import pytest

from data.beam import files_of, records_of
from data.tfrecord import Writer

RECORDS = [bytes([number]) * 300 for number in range(50)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Writer(tmp_path / "one.gz") as file:
        for record in RECORDS:
            file.write(record)
    return tmp_path / "one.gz"


def test_a_whole_file_is_read_in_its_order(path: Path) -> None:
    assert [*records_of(str(path))] == RECORDS
    (path.parent / "a.gz").touch()
    assert files_of([f"{path.parent}/*.gz"]) == [str(path.parent / "a.gz"), str(path)]


@pytest.mark.parametrize("damage", ["cut", "changed", "another"])
def test_a_damaged_one_is_named(path: Path, damage: str) -> None:
    whole = path.read_bytes()
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    path.write_bytes({"cut": whole[:middle], "changed": changed, "another": b"no gzip"}[damage])
    with pytest.raises(ValueError, match=r"one\.gz is damaged: "):
        [*records_of(str(path))]


def test_a_pattern_without_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="there is no file"):
        files_of([f"{tmp_path}/*.gz"])
