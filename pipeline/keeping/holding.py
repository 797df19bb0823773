"""One at a time uses a workspace: whoever runs in it, or prunes it, holds its lock.

.lock: {"pid": 4711, "host": "nas", "command": "signs run"} while it is held
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipeline.environment import Workspace
from signs import durable
from signs.errors import UserError


class HeldError(UserError):
    """The workspace cannot be had."""


@contextmanager
def hold(workspace: Workspace, command: str) -> Iterator[None]:
    """Holds the workspace: two at once would trip over each other's metadata and models.

    Args:
        workspace: its folder is made if it is missing.
        command: what is done with it, to tell others that want it.

    Raises:
        HeldError: somebody else holds it, or it cannot be written.
    """
    me = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "command": command})
    try:
        workspace.root.mkdir(parents=True, exist_ok=True)
        held = durable.lock(workspace.lock, timeout_s=0)
        held.__enter__()
    except durable.LockedError:
        raise HeldError(
            f"another run is using the workspace {workspace.root}{_holder(workspace)}: wait for it "
            "(`signs runs` shows it), or choose another with --workspace"
        ) from None
    except OSError as err:
        raise HeldError(
            f"the workspace {workspace.root} cannot be written ({err.strerror}): choose another "
            "with --workspace"
        ) from err
    try:
        _tell(workspace, me)
        yield
    finally:
        _tell(workspace, "")
        held.__exit__(None, None, None)


def _tell(workspace: Workspace, holder: str) -> None:
    with suppress(OSError):  # a full disk hides who holds it, and no more
        workspace.lock.write_text(holder)


def _holder(workspace: Workspace) -> str:
    """Who holds it, as the lock's file says; nothing where it does not."""
    try:
        told = json.loads(workspace.lock.read_text())
        return f" ({told['command']}, process {told['pid']} on {told['host']})"
    except (OSError, ValueError, LookupError, TypeError):
        return ""
