"""A workspace is used by one at a time, and who wants it is told who has it."""

import os
import socket
from pathlib import Path

import pytest

from pipeline.environment import Workspace
from pipeline.keeping.holding import HeldError, hold


def test_who_holds_it_is_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "new")
    with (
        hold(workspace, "signs run"),
        pytest.raises(HeldError) as caught,
        hold(workspace, "signs prune"),
    ):
        pass
    assert str(caught.value) == (
        f"another run is using the workspace {workspace.root} (signs run, process {os.getpid()} on "
        f"{socket.gethostname()}): wait for it (`signs runs` shows it), or choose another with "
        "--workspace"
    )
    with hold(workspace, "signs prune"):
        pass


@pytest.mark.parametrize("left", [b"", b"\xff", b"[]", b'{"pid": 1}'])
def test_what_a_killed_run_has_left_in_the_lock_is_no_hindrance(
    tmp_path: Path, left: bytes
) -> None:
    workspace = Workspace(tmp_path)
    workspace.lock.write_bytes(left)
    with hold(workspace, "signs run"):
        workspace.lock.write_bytes(left)
        with pytest.raises(HeldError, match=f"{tmp_path}: wait"), hold(workspace, "signs run"):
            pass


def test_a_workspace_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(HeldError, match=r"cannot be written \(.+\): choose another"),
        hold(Workspace(tmp_path / "file" / "workspace"), "signs run"),
    ):
        pass
