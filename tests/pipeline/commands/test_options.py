"""The options of a connection are written once, and reach each command as one object."""

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from pipeline.commands.options import Connection, JsonOption, Question, spread, typed, usable
from signs.errors import UserError
from signs.transports.transport import Tls


def called(kind: type, *arguments: str) -> tuple[Connection, bool, str]:
    """What a command with this kind of connection is called with."""
    found = []
    app = typer.Typer()

    def ask(
        text: Annotated[str, typer.Argument()], connection: Connection, as_json: JsonOption = False
    ) -> int:
        found.append((connection, as_json, text))
        return 0

    ask.__annotations__["connection"] = kind
    app.command()(spread(ask))
    result = CliRunner().invoke(app, ["hello", *arguments])
    assert result.exit_code == 0, result.output
    return found[0]


def test_without_options_it_is_the_server_on_this_machine() -> None:
    connection, as_json, text = called(Connection)
    assert (connection, as_json, text) == (Connection(), False, "hello")
    assert connection.address == "127.0.0.1:8500"
    assert connection.tls is None


def test_each_option_arrives(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("ca", "cert", "key")}
    given = ["--address=https://box", "--model=signs", "--json"]
    for name, file in files.items():
        file.touch()
        given.append(f"--{name}={file}")
    connection, as_json, _ = called(Connection, *given)
    assert as_json
    assert (connection.address, connection.model) == ("https://box", "signs")
    assert connection.tls == Tls(**files)


def test_a_token_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    option = f"--token-file={file}"
    connection, _, _ = called(Connection, option)
    with pytest.raises(UserError, match="token: No such file or directory"):
        _ = connection.headers
    file.write_text("# ours\n0123456789abcdef\nfedcba9876543210\n")
    headers = {"authorization": "Bearer 0123456789abcdef"}
    assert connection.headers == headers
    assert Connection().headers == {}
    connection, _, _ = called(Connection, option, "--address=box:8500")
    with pytest.raises(UserError, match="A token for box:8500 would go there without encryption"):
        _ = connection.headers
    connection, _, _ = called(Connection, option, "--address=box:8500", "--plain-token")
    assert connection.headers == headers
    connection, _, _ = called(Connection, option, "--address=https://box")
    assert connection.headers == headers


@pytest.mark.parametrize("version", ["3", "v3"])
def test_a_question_is_to_one_version(version: str) -> None:
    question, _, _ = called(Question, "--version", version, "--timeout", "2.5", "--ca", "ca.pem")
    assert question == Question(version=3, timeout=2.5, ca=Path("ca.pem"))


@pytest.mark.parametrize(("folders", "name"), [((), "signs"), (("cats",), "cats")])
def test_the_model_is_the_workspaces_only_one(
    tmp_path: Path, folders: tuple[str, ...], name: str
) -> None:
    for folder in folders:
        (tmp_path / "serving" / folder).mkdir(parents=True)
    assert Connection().model_name(tmp_path) == name
    assert Connection(model="mine").model_name(tmp_path) == "mine"


def test_a_command_as_it_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "my env" / "bin" / "signs"
    monkeypatch.setattr("sys.executable", str(program.with_name("python")))
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.chdir(tmp_path)
    assert typed("signs runs") == "signs runs"  # there is no such program: nothing better is known
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    assert typed("signs runs") == "'my env/bin/signs' runs"
    monkeypatch.chdir(tmp_path / "my env" / "bin")
    assert typed("signs runs") == "./signs runs"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert typed("signs runs") == f"'{program}' runs"
    monkeypatch.setenv("PATH", str(program.parent))
    assert typed("signs runs") == "signs runs"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file", "is a file: --workspace takes a folder"),
        ("dangling", "is a link to nowhere, which is not there"),
        ("ws [1]", "has [ and ] in its path, which TensorFlow takes for a pattern: rename the"),
        ("new/a*b", "has * in its path"),
        ("link", "has ? in its path"),
    ],
)
def test_what_can_be_no_workspace(tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "what?").mkdir()
    (tmp_path / "link").symlink_to("what?")
    with pytest.raises(UserError) as caught:
        usable(tmp_path / place)
    assert str(caught.value).startswith(f"the workspace {tmp_path / place} {words}")


@pytest.mark.parametrize("place", [".", "new", "with space/ünï/{SPAN} %s"])
def test_what_may_be_a_workspace(tmp_path: Path, place: str) -> None:
    assert usable(tmp_path / place) == tmp_path / place
