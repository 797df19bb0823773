"""`signs predict` where no server runs: one is started for the question."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from model_server.process import free_port
from pipeline.commands.main import app
from pipeline.commands.options import Question
from pipeline.commands.own_server import answering
from pipeline.commands.predict import was_given
from serving.rollout import Rollout
from signs.client import Client
from signs.errors import UserError
from tests.served import RED


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{free_port()}"


def test_the_version_that_a_server_would_ask_answers(
    tmp_path: Path, push: Callable[[Path, int], Path], nobody: str
) -> None:
    base = tmp_path / "serving" / "cats"
    for version in (2, 3):
        push(base, version)
    Rollout(base).promote(2)
    console = Console(record=True, width=200)
    question = Question(address=nobody, label="stable")
    with answering(question, tmp_path, console) as asked:
        assert (asked.model, asked.label) == ("cats", None)
        with Client(asked.address, model_name=asked.model or "") as client:
            assert client.metadata().version == 2
            [answer] = client.predict(RED)
            assert answer.class_name == "red"
    assert console.export_text() == (
        f"Nobody serves at {nobody}: cats v2 is loaded for this once. `signs serve` keeps it "
        "loaded.\n"
    )
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(asked.address.rpartition(":")[2])), 1)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question(model="dogs"), "a model 'dogs' was never pushed to .*: make one with"),
        (Question(version=7), "cats v7 does not exist; there are v1."),
        (Question(label="canary"), "cats has no version with the label canary."),
    ],
)
def test_what_cannot_be_asked(
    tmp_path: Path, nobody: str, question: Question, message: str
) -> None:
    version = tmp_path / "serving" / "cats" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").touch()
    question = Question(**{**vars(question), "address": nobody})
    with (
        pytest.raises(UserError, match=message),
        answering(question, tmp_path, Console(record=True)),
    ):
        pass


def test_where_somebody_listens_no_server_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        question = Question(address=f"127.0.0.1:{other.getsockname()[1]}", label="stable")
        with answering(question, tmp_path, Console()) as asked:
            assert asked is question


def test_an_address_that_the_user_writes_is_kept_to() -> None:
    command = app.commands["predict"]
    for arguments, given in (([], False), (["--address", Question().address], True)):
        context = command.make_context("predict", ["a.png", *arguments])
        assert was_given(context, "address") is given
