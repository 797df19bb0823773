"""Changed code, however deep it lies, is another digest: else old results would be reused."""

import shutil
from pathlib import Path

import pytest

from pipeline.code import USER_CODE, code_digest
from tests import ROOT


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    skip = shutil.ignore_patterns("__pycache__")
    return [shutil.copytree(folder, tmp_path / folder.name, ignore=skip) for folder in USER_CODE]


def test_it_is_of_the_code_that_user_functions_import() -> None:
    assert USER_CODE == (ROOT / "drawing", ROOT / "modules", ROOT / "signs")


@pytest.mark.parametrize(
    "name", ["modules/trainer.py", "modules/network/blocks.py", "drawing/pose.py"]
)
@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_text("")])
def test_a_change_at_any_depth_is_another(folders: list[Path], name: str, change) -> None:
    before = code_digest(folders)
    change(folders[0].parent / name)
    assert code_digest(folders) != before


@pytest.mark.parametrize("name", ["signs/features.py", "modules/network/new.py"])
def test_so_is_a_file_that_is_added_or_grows(folders: list[Path], name: str) -> None:
    before = code_digest(folders)
    with (folders[0].parent / name).open("a") as file:
        file.write("# changed\n")
    assert code_digest(folders) != before


def test_what_python_leaves_behind_is_no_code(folders: list[Path]) -> None:
    before = code_digest()
    cache = folders[1] / "network" / "__pycache__"
    cache.mkdir()
    (cache / "blocks.cpython-311.pyc").write_bytes(b"compiled")
    assert code_digest(folders) == before
