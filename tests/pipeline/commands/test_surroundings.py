"""Every command in surroundings that it did not choose: streams, signals, users, terminals."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.commands.main import app
from tests import ROOT
from tests.pipeline.commands.conftest import SIGNS

# Listed by the command line itself, so that a new command is tried as well. "" is its own help.
COMMANDS = ["", *app.commands]
# A user whom this machine does not know. He may read all, as if it were shared with him.
NOBODY = [
    *("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
]
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root may act for another user, by util-linux's setpriv",
)


def ran(script: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> tuple[int, str, str]:
    """Runs a script of bash with a nearly empty environment; its exit code, output and errors."""
    done = subprocess.run(
        ["bash", "-c", script, "bash", *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


# --- Streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_output_that_cannot_be_written_is_told_in_a_line(command: str) -> None:
    code, _, err = ran('"$@" >/dev/full', *SIGNS, *command.split(), "--help")
    assert (code, err) == (1, "signs: error: standard output: No space left on device\n")


def test_the_model_server_is_started_in_the_same_way() -> None:
    server = [sys.executable, "-m", "model_server"]
    said = "signs-model-server: error: standard output: No space left on device\n"
    assert ran('"$@" >/dev/full', *server, "--version")[::2] == (1, said)
    assert ran('"$@" >/dev/full', *server)[::2] == (1, said)  # it says why it cannot start
    assert ran('"$@"', *server, PYTHONOPTIMIZE="2")[0] == 2


def test_output_that_is_closed_is_told_in_a_line(tmp_path: Path) -> None:
    for arguments in (["--help"], ["--version"], ["runs", "--workspace", str(tmp_path)]):
        code, _, err = ran('"$@" >&-', *SIGNS, *arguments)
        assert (code, err) == (1, "signs: error: standard output: closed\n")


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*SIGNS, "runs", "--json", "--workspace", tmp_path],
        cwd=ROOT,
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


# --- Signals --------------------------------------------------------------------------------------


def hears(pid: int, number: int = signal.SIGTERM) -> bool:
    """Whether a process has a handler for a signal. For SIGTERM Python by itself has none."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt"))[7:], 16)
    return bool(caught >> (number - 1) & 1)


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_while_it_is_imported_ends_it_quietly(command: str) -> None:
    with subprocess.Popen(
        [*SIGNS, *command.split(), "--help"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 30
        while not hears(process.pid):
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"")


def test_ctrl_c_while_python_itself_starts_ends_it_quietly() -> None:
    """Its words would be `Fatal Python error: init_import_site`, and a traceback.

    Python hears a Ctrl-C some milliseconds before it reads our line in site-packages, and nobody
    can help it there. So the signal is sent when that line has made it deaf again.
    """
    signs = Path(sys.executable).with_name("signs")
    codes: list[int] = []
    while codes.count(-signal.SIGINT) < 5 and len(codes) < 50:  # a busy machine misses the moment
        with subprocess.Popen(
            [signs, "runs"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            has_heard = False
            while process.poll() is None and not hears(process.pid):
                hears_now = hears(process.pid, signal.SIGINT)
                if has_heard and not hears_now:
                    process.send_signal(signal.SIGINT)
                    break
                has_heard |= hears_now
            _, err = process.communicate(timeout=30)
        assert err == b""
        codes.append(process.returncode)
    assert set(codes) <= {130, -signal.SIGINT, 0}
    assert -signal.SIGINT in codes


# --- The interpreter ------------------------------------------------------------------------------


def test_options_of_the_interpreter(tmp_path: Path) -> None:
    listing = [*SIGNS, "runs", "--workspace", str(tmp_path)]
    for variable, value in (("PYTHONWARNINGS", "error"), ("PYTHONOPTIMIZE", "1")):
        code, out, err = ran('"$@"', *listing, **{variable: value})
        assert (code, err) == (0, "")
        assert out.startswith("No runs in ")
    code, out, err = ran('"$@"', *listing, PYTHONOPTIMIZE="2")
    assert (code, out) == (2, "")
    assert err.startswith("signs: error: `python -OO` leaves out the docstrings")
    assert len(err.splitlines()) == 1


# --- Users ----------------------------------------------------------------------------------------


@needs_root
def test_a_user_without_name_and_home_gets_what_libraries_ask_for() -> None:
    code = (
        "from signs.command import run; import os\nrun('x', lambda: os.system('echo $HOME $USER'))"
    )
    asked = [*NOBODY, SIGNS[0], "-c", code]
    assert ran('"$@"', *asked, TMPDIR="/var/tmp") == (0, "/var/tmp 12345\n", "")
    assert ran('"$@"', *asked, HOME="/me", USER="me") == (0, "/me me\n", "")


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that all may read and only we may write; pytest's own let nobody else in."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@needs_root
def test_the_workspace_of_another_user(shared_folder: Path) -> None:
    base_path = shared_folder / "serving" / "signs" / "1"
    base_path.mkdir(parents=True)
    (base_path / "saved_model.pb").touch()
    (shared_folder / "data").mkdir()

    def as_nobody(*arguments: str) -> tuple[int, str, str]:
        return ran('"$@"', *NOBODY, *SIGNS, *arguments, SIGNS_WORKSPACE=str(shared_folder))

    assert as_nobody("runs")[0] == 0
    assert as_nobody("versions", "--address", "127.0.0.1:1")[0] == 0
    for arguments, code, place in (
        (["promote", "--offline"], 1, shared_folder / "serving" / "signs.config"),
        (["run"], 2, shared_folder),
        (["ingest", "synthetic:9"], 2, shared_folder / "data"),
        (["serve", "--page", "--rest-port", "65535"], 1, shared_folder / "examples"),
    ):
        found, out, err = as_nobody(*arguments)
        assert (found, out) == (code, ""), arguments
        assert err.startswith("signs: error: ")
        assert "Permission denied" in err
        assert str(place) in err
        assert len(err.splitlines()) == 1


# --- Terminals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        {"COLUMNS": "1"},
        {"COLUMNS": "-3", "LINES": "wide"},
        {"TERM": "dumb", "NO_COLOR": "1"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_terminals(environment: dict[str, str], tmp_path: Path) -> None:
    for arguments in (["--help"], ["runs", "--workspace", str(tmp_path)]):
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [*SIGNS, *arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            shown = b""
            try:
                while more := os.read(ours, 4096):
                    shown += more
            except OSError:  # a terminal that nobody holds any more has no end of file
                pass
            process.wait(30)
        os.close(ours)
        assert process.returncode == 0
        assert b"Traceback" not in shown
        assert shown.strip()
