"""The metadata are looked at before TFX opens them, and made relative once."""

import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from pipeline.environment import Workspace
from pipeline.keeping.metadata_file import MetadataError, check, inside, make_relative
from tests.pipeline.keeping.workspaces import Made


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Made(tmp_path_factory.mktemp("before"), absolute=True)
    made.add_run(1)
    return made.root


@pytest.fixture
def workspace(one_run: Path, tmp_path: Path) -> Workspace:
    return Workspace(shutil.copytree(one_run, tmp_path / "workspace"))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def of_another_program(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE bookmarks (x)")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b"garbage" * 999), "is damaged (file is not a database)."),
        (lambda path: path.write_bytes(path.read_bytes()[:9000]), "is damaged ("),
        (empty, "is empty, so that what earlier runs left in"),
        (Path.unlink, "is missing, so that what earlier runs left in"),
        (folder, "is a folder, and should be a file: move it away"),
        (of_another_program, "holds something else than ML Metadata."),
    ],
)
def test_metadata_that_no_run_can_use(workspace: Workspace, damage, words: str) -> None:
    damage(workspace.metadata)
    with pytest.raises(MetadataError, match=re.escape(f"{workspace.metadata} {words}")) as caught:
        check(workspace)
    assert "\n" not in str(caught.value)


def test_metadata_that_another_program_holds(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.keeping.metadata_file._WAIT_S", 0.0)
    database = sqlite3.connect(workspace.metadata, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    with pytest.raises(MetadataError, match="is in use by another program: end that"):
        check(workspace)
    database.close()
    check(workspace)


def test_a_new_workspace_has_none(tmp_path: Path) -> None:
    check(Workspace(tmp_path))
    assert make_relative(Workspace(tmp_path)) == 0
    assert list(tmp_path.iterdir()) == []


def test_they_are_made_relative_once_and_kept_as_they_were(workspace: Workspace) -> None:
    before = workspace.metadata.read_bytes()
    assert make_relative(workspace) == 5
    with sqlite3.connect(workspace.metadata) as database:
        found = [uri for (uri,) in database.execute("SELECT uri FROM Artifact ORDER BY id")]
    assert found[0] == "artifacts/photos/SpanGen/examples/1"
    assert all((workspace.root / uri).is_dir() for uri in found)
    kept = workspace.metadata.with_name("metadata.sqlite.absolute")
    assert kept.read_bytes() == before
    assert make_relative(workspace) == 0


def test_only_what_lies_in_a_workspace_is_made_relative() -> None:
    path = Path("artifacts/photos/Trainer/model/6")
    assert inside(f"/a/artifacts/b/{path}") == inside(str(path)) == path
    assert inside("/elsewhere/model/6") is None
