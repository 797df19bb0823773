"""A command's end, whatever surrounds it: real processes, real signals, real streams."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ROOT

HEAD = """
import os, signal, sys, time
from signs.command import run

def ready():
    print('ready', file=sys.stderr, flush=True)

def command():
"""
CTRL_C, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def script(body: str) -> list[str]:
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return [sys.executable, "-c", f"{HEAD}{lines}\n\nsys.exit(run('cmd', command))"]


def done(body: str, shell: str = "", *options: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command, started by bash with redirections."""
    program = script(body)
    ran = subprocess.run(
        ["bash", "-c", f'"$@" {shell}', "bash", program[0], *options, *program[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


# --- Streams --------------------------------------------------------------------------------------

SAYS = "print('oops', file=sys.stderr); print('hello'); return 3"


@pytest.mark.parametrize(
    ("shell", "code", "out", "err"),
    [
        ("", 3, "hello\n", "oops\n"),
        (">&-", 1, "", "oops\ncmd: error: standard output: closed\n"),
        (">/dev/full", 1, "", "oops\ncmd: error: standard output: No space left on device\n"),
        ("<&-", 3, "hello\n", "oops\n"),
        ("2>&-", 3, "hello\n", ""),
        ("2>/dev/full", 3, "hello\n", ""),
        ("<&- >&- 2>&-", 1, "", ""),
        (">/dev/full 2>&1", 1, "", ""),
        ("| true; exit ${PIPESTATUS[0]}", 141, "", "oops\n"),
        ("2>&1 | true; exit ${PIPESTATUS[0]}", 141, "", ""),
    ],
)
def test_streams(shell: str, code: int, out: str, err: str) -> None:
    # It prints late, so that the reader of the pipe is gone by then.
    body = f"time.sleep(0.3 * ({'|' in shell}))\n{SAYS}"
    assert done(body, shell) == (code, out, err)


def test_a_closed_stream_is_no_place_for_a_file(tmp_path: Path) -> None:
    """Else the first file that is opened becomes the standard output, and is written over."""
    precious = tmp_path / "precious"
    precious.write_text("all that I have")
    body = f"open({str(precious)!r}, 'r+b'); os.system('echo gone'); print('gone'); return 0"
    assert done(body, ">&-")[0] == 1
    assert precious.read_text() == "all that I have"


def test_input_that_is_closed_is_empty() -> None:
    assert done("print(repr(sys.stdin.read())); return 0", "<&-") == (0, "''\n", "")


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "h\\xe4nd \\udcff\n"), ("utf-8", "händ \\udcff\n")]
)
def test_what_a_terminal_lacks_is_escaped(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    assert done("print('h\\xe4nd \\udcff'); return 0") == (0, shown, "")


# --- Signals --------------------------------------------------------------------------------------


def ended_by(body: str, *numbers: int, before: Callable[[], object] | None = None) -> list[str]:
    """The exit code, and then the lines on standard error, of a command that gets signals."""
    with subprocess.Popen(
        script(body),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "ready\n"
            for number in numbers:
                process.send_signal(number)
                if numbers[1:]:
                    process.stderr.readline()
            process.wait(20)
            return [str(process.returncode), *process.stderr.read().splitlines()]
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(CTRL_C, 130), (TERM, 143), (HUP, 129)])
def test_a_signal_ends_it_quietly_once_it_has_tidied_up(number: int, code: int) -> None:
    body = """
        try:
            ready()
            time.sleep(60)
        finally:
            print('tidied', file=sys.stderr)
        return 0
    """
    assert ended_by(body, number) == [str(code), "tidied"]


def test_a_command_that_deals_with_the_signal_itself_ends_with_its_code() -> None:
    body = "try:\n    ready()\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    return {}\n"
    assert ended_by(body.format(130), TERM) == ["143"]
    assert ended_by(body.format(0), TERM) == ["0"]


def test_a_second_signal_is_as_quiet() -> None:
    body = """
        try:
            ready()
            time.sleep(60)
        finally:
            print('tidying', file=sys.stderr, flush=True)
            time.sleep(60)
    """
    assert ended_by(body, CTRL_C, CTRL_C) == ["130"]
    assert ended_by(body, CTRL_C, TERM) == ["130"]


def test_a_signal_while_the_interpreter_ends_is_as_quiet() -> None:
    body = """
        import atexit
        atexit.register(lambda: (print('end', file=sys.stderr, flush=True), time.sleep(60)))
        ready()
        time.sleep(60)
    """
    assert ended_by(body, CTRL_C, CTRL_C) == [str(-CTRL_C)]


@pytest.mark.parametrize("number", [CTRL_C, HUP])
def test_what_was_ignored_stays_so(number: int) -> None:
    """As SIGHUP under nohup, and SIGINT of a shell's background jobs."""

    def ignore() -> None:
        signal.signal(number, signal.SIG_IGN)

    body = f"ready()\nos.kill(os.getpid(), {number:d})\nprint('alive', file=sys.stderr)\nreturn 0"
    assert ended_by(body, before=ignore) == ["0", "alive"]


def test_a_signal_is_not_lost_where_python_cannot_raise_it() -> None:
    body = """
        class Thing:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)
        ready()
        Thing()
        time.sleep(60)
    """
    assert ended_by(body) == ["130"]


def test_a_signal_that_a_library_makes_another_error_of_is_one_still() -> None:
    body = """
        try:
            ready()
            time.sleep(60)
        except KeyboardInterrupt as error:
            raise ImportError("numpy.core.multiarray failed to import") from error
    """
    assert ended_by(body, CTRL_C) == ["130"]


# --- Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("open('/nowhere/file')", "/nowhere/file: No such file or directory"),
        ("os.listdir(b'/nowhere')", "/nowhere: No such file or directory"),
        ("raise OSError(28, os.strerror(28))", "No space left on device"),
        ("raise OSError('not as I like it')", "not as I like it"),
        ("raise MemoryError", "the memory is not enough: end other programs, or raise the limit "
         "(ulimit -v)"),
        ("import nonesuch", "No module named 'nonesuch': `signs doctor` checks what is installed"),
    ],
)  # fmt: skip
def test_what_the_surroundings_lack_is_told_in_a_line(body: str, told: str) -> None:
    assert done(body) == (1, "", f"cmd: error: {told}\n")


def test_a_fault_of_ours_is_shown_whole() -> None:
    code, _, err = done("raise ZeroDivisionError('ours')")
    assert code == 1
    assert err.startswith("Traceback")
    assert err.endswith("ZeroDivisionError: ours\n")


def test_without_docstrings_it_says_so() -> None:
    for options, code in (["-O"], 3), (["-OO"], 2):
        found, _, err = done(SAYS, "", *options)
        assert found == code
        assert ("cmd: error: `python -OO` leaves out the docstrings" in err) == (code == 2)


def test_the_exit_of_a_library_is_kept() -> None:
    assert done("sys.exit(7)") == (7, "", "")


def test_it_imports_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import pipeline.commands.__main__\n"
        "import model_server.__main__; print(sorted(set(sys.modules) - before))"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    ours = {
        name
        for name in eval(found.stdout)
        if name.partition(".")[0] not in os.sys.stdlib_module_names
    }
    assert ours == {
        *("pipeline", "pipeline.commands", "pipeline.commands.__main__"),
        *("model_server", "model_server.__main__", "signs", "signs.command"),
    }
