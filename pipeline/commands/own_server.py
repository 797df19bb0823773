"""A model server for one question, where none runs: `signs predict` needs no other terminal.

the version that `signs serve` would answer with -> ServerProcess -> a question to it
"""

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from pipeline.commands.options import Question, base_path
from pipeline.environment import Workspace
from pipeline.showing.wording import tell
from signs.versions import version_name

_CONNECT_S = 1.0


@contextlib.contextmanager
def answering(question: Question, workspace: Path, console: Console) -> Iterator[Question]:
    """Gives the question itself where somebody listens, else one to a server of our own.

    Args:
        question: to the address where `signs serve` listens.
        workspace: has the model.
        console: is told that a server is started.

    Raises:
        UserError: nobody listens, and the workspace lacks the model or the version that is asked,
            or it does not load.
    """
    if _listens(question.address):
        yield question
        return
    base = base_path(workspace, question.model)
    from model_server import ServerProcess

    number, folder = asked_version(base, question)
    tell(
        console,
        f"Nobody serves at {question.address}: {base.name} {version_name(number)} is loaded for "
        "this once. `signs serve` keeps it loaded.",
    )
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / str(number)).symlink_to(folder.resolve(), target_is_directory=True)
        # One question: to optimise every signature for more of them takes longer than its answer.
        flags = ["--enable_model_warmup=false"]
        if (key := Workspace(workspace).public_key).exists():
            flags.append(f"--model_signing_key={key.resolve()}")
        with ServerProcess(directory, base.name, flags=flags) as server:
            yield replace(
                question, address=server.address, model=base.name, version=None, label=None
            )


def asked_version(base: Path, question: Question) -> tuple[int, Path]:
    """The version that a server of the workspace would ask: its number and its folder."""
    from serving.rollout import Rollout, RolloutError
    from signs.versions import complete_versions

    pushed, state = complete_versions(base), Rollout(base).state()
    number = question.version
    if question.label is not None:
        if question.label not in state.labels:
            raise RolloutError(f"{base.name} has no version with the label {question.label}.")
        number = state.labels[question.label]
    elif number is None:
        number = max(state.versions or pushed, default=None)
    if number is None:
        raise RolloutError(f"{base} holds no version: make one with `signs run`")
    if number not in pushed:
        there = ", ".join(map(version_name, pushed)) or "none"
        raise RolloutError(f"{base.name} {version_name(number)} does not exist; there are {there}.")
    return number, pushed[number]


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), _CONNECT_S):
        return True
    return False
