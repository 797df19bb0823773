"""The command line as its users meet it: what it prints, where to, and its exit codes."""

import ast
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pipeline.commands import doctor
from tests import ROOT
from tests.pipeline.commands.conftest import SIGNS

COMMANDS = (
    *("doctor", "ingest", "run", "serve", "predict", "runs"),
    *("bench-serving", "promote", "rollback", "versions", "shadow"),
)


# --- Help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["compile", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; from pipeline.commands.main import main; main({arguments})\n"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'numpy', 'grpc', 'h5py', 'PIL'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)))"
    )
    help_ = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert help_.stderr.strip() == ""


def test_the_list_of_commands_imports_none_of_them() -> None:
    code = (
        "import sys; from pipeline.commands.main import main; main(['--help'])\n"
        "print([name for name in sys.modules if '.commands.' in name], file=sys.stderr)\n"
        # The one looks up versions on the disk, the other is Typer's, for a command's options.
        "sys.exit(' '.join({'importlib.metadata', 'pydantic'} & set(sys.modules)))"
    )
    help_ = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    ours = [f"pipeline.commands.{name}" for name in ("lazy", "options", "main")]
    assert sorted(ast.literal_eval(help_.stderr)) == sorted(ours)


def test_every_command_is_explained_with_an_example(
    signs: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, err = signs("--help")
    assert (code, err) == (0, "")
    assert all(f" {command} " in out for command in COMMANDS)
    for command in COMMANDS:
        code, out, err = signs(command, "--help")
        assert (code, err) == (0, "")
        assert f"signs {command}" in out[out.index("Examples:") :]


def test_the_version(signs: Callable[..., tuple[int, str, str]]) -> None:
    assert signs("--version") == (0, "signs 0.3.0\n", "")


def test_without_a_command_help_is_shown(signs: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = signs()
    assert code == 2
    assert "Usage: signs" in out
    assert err == ""


# --- Mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frob"], "No such command 'frob'.\nTry: signs --help"),
        (["runs", "--jsn"], "No such option: --jsn"),
        (["relabel"], "Missing argument 'FILE'.\nTry: signs relabel --help"),
        (["predict"], "no images: name files or folders, or a source with --bulk"),
        (["run", "--schema", "mine"], "Invalid value for '--schema'"),
        (["run", "--tune", "some"], "Invalid value for '--tune'"),
        (["run", "--set", "tune.trials=-1"], "tune.trials must be in [0, 1000]. Received: -1"),
        (["run", "--set", "warm_start=perhaps"], "warm_start: Input should be a valid boolean"),
        (["run", "--set", "devices.gpus=-1"], "devices.gpus must be a count from 0"),
        (["run", "--max-rejected", "x"], "Invalid value for '--max-rejected'"),
        (["run", "my.zip"], "'my.zip' belongs to no option. Did you mean --data my.zip?"),
        (["run", "--max-reject=1"], "There is no option --max-reject, and Beam has none."),
        (["run", "--runner", "Foo"], "--runner Foo: Unexpected pipeline runner: Foo."),
        (["ingest", "nowhere"], "there is no 'nowhere'."),
        (["ingest", "a", "b"], "'b' belongs to no option."),
        (["predict", "none.jpg"], "none.jpg: no such file"),
        (
            ["promote", "--version", "new"],
            "Invalid value for '--version': A version is a number, such as v3 or 3. Received: ",
        ),
        (["serve", "--rest-port", "x"], "Invalid value for '--rest-port'"),
        (["serve"], "a model was never pushed to workspace: make one with `signs run`"),
        (
            ["serve", "--model", "cats"],
            "a model 'cats' was never pushed to workspace: make one with `signs run`",
        ),
    ],
)
def test_a_mistake_gets_a_line_or_two(
    signs: Callable[..., tuple[int, str, str]], arguments: list[str], message: str
) -> None:
    code, out, err = signs(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"signs: error: {message}")
    assert len(err.splitlines()) <= 2


def test_an_image_that_is_none(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("hello")
    code, _, err = signs("predict", "note.jpg")
    assert code == 2
    assert err.startswith("signs: error: note.jpg: ")


def test_nobody_serves(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        code, _, err = signs("predict", "a.png", "--address", address, "--timeout", "1")
    assert code == 2
    assert err.startswith(f"signs: error: Nobody answers at {address}: start a server with `signs")


def test_several_models_ask_for_one(
    signs: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    for name in ("signs", "cats", ".hidden"):
        (tmp_path / "workspace" / "serving" / name).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for arguments in (["serve"], ["predict", "a.png"]):
        assert signs(*arguments) == (
            2,
            "",
            "signs: error: workspace has several models: choose with --model cats or signs\n",
        )


def test_ctrl_c_is_no_traceback(
    signs: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "checks", interrupted)
    assert signs("doctor")[0] == 130


def test_text_that_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    asking = subprocess.run(
        [*SIGNS, "predict", "händ\udcff.jpg"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "SIGNS_WORKSPACE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asking.returncode == 2
    assert asking.stderr.startswith(r"signs: error: h\xe4nd\udcff.jpg: no such file")
