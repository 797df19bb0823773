"""`signs prune`: shown first, deleted when asked to."""

from collections.abc import Callable
from pathlib import Path

from tests.pipeline.keeping.workspaces import Made, run_id

Signs = Callable[..., tuple[int, str, str]]


def test_what_goes_is_shown_and_deleted_only_when_asked_to(signs: Signs, tmp_path: Path) -> None:
    made = Made(tmp_path / "workspace")
    for number in (1, 2):
        made.add_run(number)
    (made.workspace.serving("photos") / "notes.txt").touch()
    code, out, _ = signs("prune", "--keep", "1")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["versions", "1", "(5", "bytes)", "1", "(5", "bytes)", "1", "the", "newest"] in lines
    stranger = "workspace/serving/photos/notes.txt"
    assert f"Left alone, as no run has made it: {stranger}" in out
    assert out.splitlines()[-1].startswith("Nothing was deleted yet. To free ")
    assert (made.workspace.serving("photos") / "1").is_dir()

    code, out, _ = signs("prune", "--keep", "1", "--yes")
    assert code == 0
    assert out.splitlines()[-1].startswith("Deleted: ")
    assert not (made.workspace.serving("photos") / "1").exists()
    assert not made.workspace.log(run_id(1)).exists()
    assert (made.workspace.serving("photos") / "notes.txt").exists()
    assert signs("prune", "--keep", "1")[1].splitlines()[-1] == "There is nothing to delete."


def test_a_workspace_that_is_not_there_is_not_made(signs: Signs, tmp_path: Path) -> None:
    assert signs("prune", "--yes") == (0, "There is nothing to delete.\n", "")
    assert list(tmp_path.iterdir()) == []
