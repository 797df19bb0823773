"""Runs are followed as users see them: real child processes that end well, badly and not at all."""

import contextlib
import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from pipeline.showing import follow as following
from pipeline.showing.events import EventReader
from pipeline.showing.follow import RunEnd, follow, last_error

CHILD = """
import os, signal, subprocess, sys, time
from pathlib import Path
from pipeline.showing.events import *
events = EventWriter(Path(sys.argv[1]))
def say(*many):
    for event in many: events.write(event)
"""
BEGIN = """
say(RunStarted(("Transform", "Trainer")), ComponentState("Transform", "done", 2.0),
    ComponentState("Trainer", "running"))
"""


class Run:
    """A child that runs `code`, and what following it came to."""

    def __init__(self, folder: Path, code: str, *, own_session: bool = True) -> None:
        self.events = folder / "events.jsonl"
        self.log = folder / "run.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CHILD + code, str(self.events)],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=own_session,
            )
        self.console = Console(file=io.StringIO(), width=80)

    def follow(self, *, grace_s: float = 5.0, advice: Mapping[str, str] | None = None) -> RunEnd:
        return follow(
            EventReader(self.events),
            self.process,
            self.console,
            title="signs run-1",
            log=self.log,
            resume="signs run --data my.zip",
            advice=advice,
            grace_s=grace_s,
        )

    @property
    def shown(self) -> str:
        assert isinstance(self.console.file, io.StringIO)
        return re.sub(r"\[ *\d+:\d\d\] ", "", self.console.file.getvalue())

    def wait_for(self, text: str) -> None:
        """Until the run's log holds `text`."""
        deadline = time.monotonic() + 20
        while text not in self.log.read_text():
            assert time.monotonic() < deadline, f"the child never logged {text!r}"
            time.sleep(0.02)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(code: str, *, own_session: bool = True) -> Run:
        runs.append(Run(tmp_path, code, own_session=own_session))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.kill()
        run.process.wait()


@contextlib.contextmanager
def signalled(run: Run, number: signal.Signals, *, after: str) -> Iterator[None]:
    """Sends this process the signal `number` once the run has logged `after`."""

    def send() -> None:
        run.wait_for(after)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    yield
    thread.join()


def assert_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def test_a_run_that_finishes(start: Callable[..., Run]) -> None:
    run = start(
        BEGIN
        + "say(Training(1, 1, 1, 2, 0.5, 0.75, 0.5, 90.0, 3.0)); time.sleep(0.5)\n"
        + 'say(ComponentState("Trainer", "done", 3.0), RunFinished(True))'
    )
    outcome = run.follow()
    assert (outcome.status, outcome.error) == ("finished", None)
    assert {s.name: (s.state, s.seconds) for s in outcome.state.components} == {
        "Transform": ("done", 2.0),
        "Trainer": ("done", 3.0),
    }
    assert run.shown.splitlines() == [
        "signs run-1",
        "Transform: done in 2.0 s",
        "Trainer: running",
        "  epoch 1 of 1, step 1 of 2, loss 0.500, accuracy 75.0 %, eval 50.0 %, 90 images/s, "
        "3.0 s left of the training",
        "Trainer: done in 3.0 s (loss 0.500, eval 50.0 %)",
    ]


def test_a_run_that_says_why_it_failed(start: Callable[..., Run]) -> None:
    run = start(BEGIN + 'say(RunFinished(False, "label 7 is outside [0, 6)")); sys.exit(1)')
    outcome = run.follow()
    assert (outcome.status, outcome.error) == ("failed", "label 7 is outside [0, 6)")
    assert run.shown.endswith(f"Failed: label 7 is outside [0, 6)\nLog:    {run.log}\n")
    assert "Trainer: failed after" in run.shown


def test_a_finished_run_whose_process_fails_afterwards_is_finished(
    start: Callable[..., Run],
) -> None:
    run = start("say(RunFinished(True)); os.abort()")
    assert run.follow().status == "finished"


def test_a_run_that_dies_of_an_exception(start: Callable[..., Run]) -> None:
    run = start(BEGIN + 'raise OSError(28, "No space left on device", "/data")')
    outcome = run.follow()
    assert outcome.status == "failed"
    assert outcome.error == (
        "The run ended before it was finished, with exit code 1. Last error in the log: "
        "OSError: [Errno 28] No space left on device: '/data'"
    )
    assert f"Failed: {outcome.error}\nLog:    {run.log}\n" in run.shown


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("SIGKILL", "killed by SIGKILL (as the kernel does when memory runs out)."),
        ("SIGSEGV", "killed by SIGSEGV."),
        ("SIGTERM", "killed by SIGTERM (somebody else ended it)."),
    ],
)
def test_a_run_that_is_killed(start: Callable[..., Run], number: str, words: str) -> None:
    run = start(BEGIN + f"os.kill(os.getpid(), signal.{number}); time.sleep(60)")
    outcome = run.follow()
    assert (outcome.status, outcome.error) == ("failed", f"The run was {words}")
    assert outcome.state.steps["Trainer"].state == "failed"


@pytest.mark.parametrize(
    ("number", "is_told"), [("SIGKILL", True), ("SIGSEGV", True), ("SIGTERM", False)]
)
def test_a_component_that_may_have_run_out_of_memory_gets_advice(
    start: Callable[..., Run], number: str, is_told: bool
) -> None:
    run = start(BEGIN + f"os.kill(os.getpid(), signal.{number}); time.sleep(60)")
    outcome = run.follow(advice={"Trainer": " Try less.", "Evaluator": " Not this."})
    assert outcome.error is not None
    assert outcome.error.endswith(". Try less." if is_told else ").")


def test_a_run_that_ends_without_a_word(start: Callable[..., Run]) -> None:
    outcome = start("sys.exit(0)").follow()
    assert outcome.status == "failed"
    assert outcome.error == "The run ended before it was finished, with exit code 0."


def test_a_run_that_has_finished_but_does_not_end_is_ended(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "EXIT_S", 0.5)
    run = start("say(RunFinished(True)); time.sleep(600)")
    assert run.follow().status == "finished"
    assert run.process.returncode == -signal.SIGTERM


def test_ctrl_c_stops_the_run_and_says_how_to_go_on(start: Callable[..., Run]) -> None:
    run = start(BEGIN + 'print("ready", flush=True); time.sleep(600)')
    with signalled(run, signal.SIGINT, after="ready"):
        outcome = run.follow()
    assert (outcome.status, outcome.error) == ("interrupted", "stopped by the user")
    assert run.process.returncode == -signal.SIGTERM
    assert run.shown.endswith(
        "Stopped. Each component that was done is kept and will be reused.\n"
        "Continue: signs run --data my.zip\n"
        f"Log:      {run.log}\n"
    )


def test_what_a_run_says_while_it_ends_is_heard(start: Callable[..., Run]) -> None:
    run = start(
        BEGIN
        + """
def end(*_):
    time.sleep(0.5)
    say(ComponentState("Trainer", "failed", 1.0, "asked to end"))
    os._exit(3)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(600)
"""
    )
    with signalled(run, signal.SIGINT, after="ready"):
        outcome = run.follow()
    assert outcome.status == "interrupted"
    assert outcome.state.steps["Trainer"].note == "asked to end"
    assert "Trainer: failed after 1.0 s (asked to end)" in run.shown


def test_a_run_that_does_not_listen_is_ended_by_force(start: Callable[..., Run]) -> None:
    run = start(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        'print("ready", flush=True)\nwhile True: time.sleep(1)'
    )
    with signalled(run, signal.SIGINT, after="ready"):
        assert run.follow(grace_s=0.3).status == "interrupted"
    assert run.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("end", ["time.sleep(600)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_what_the_run_started_ends_with_it(start: Callable[..., Run], end: str) -> None:
    run = start(
        'worker = subprocess.Popen(["sleep", "600"])\nprint(worker.pid, "ready", flush=True)\n'
        "time.sleep(0.5)\n" + end
    )
    if "KILL" in end:
        run.follow()
    else:
        with signalled(run, signal.SIGINT, after="ready"):
            run.follow()
    assert_gone(int(run.log.read_text().split()[0]))


def test_a_run_that_shares_our_process_group_is_ended_alone(start: Callable[..., Run]) -> None:
    run = start('print("ready", flush=True); time.sleep(600)', own_session=False)
    with signalled(run, signal.SIGINT, after="ready"):
        assert run.follow().status == "interrupted"
    assert run.process.returncode == -signal.SIGTERM


class GoneTerminal(io.StringIO):
    """A terminal whose window was closed after `lines` lines."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.lines = lines

    def write(self, text: str) -> int:
        self.lines -= text.count("\n")
        if self.lines < 0:
            raise OSError(5, "Input/output error")
        return len(text)


@pytest.mark.parametrize("lines", [0, 2])
def test_a_terminal_that_goes_away_leaves_no_run_behind(
    start: Callable[..., Run], lines: int
) -> None:
    run = start(BEGIN + "time.sleep(600)")
    run.console = Console(file=GoneTerminal(lines))
    with pytest.raises(OSError, match="Input/output error"):
        run.follow()
    assert run.process.returncode is not None


def test_it_can_be_followed_from_a_thread(start: Callable[..., Run]) -> None:
    run = start("say(RunFinished(True))")
    outcomes: list[RunEnd] = []
    thread = threading.Thread(target=lambda: outcomes.append(run.follow()))
    thread.start()
    thread.join(20)
    assert [outcome.status for outcome in outcomes] == ["finished"]


def test_on_a_terminal_a_real_ctrl_c_leaves_a_clean_screen(tmp_path: Path) -> None:
    """Everything a user has: a terminal, the keys on it, and what is on the screen after."""
    events = tmp_path / "events.jsonl"
    code = (
        "import subprocess, sys\nfrom pathlib import Path\nfrom rich.console import Console\n"
        "from pipeline.showing.events import EventReader\n"
        "from pipeline.showing.follow import follow\n"
        f"child = subprocess.Popen([sys.executable, '-c', {CHILD + BEGIN + 'time.sleep(60)'!r}, "
        f"{str(events)!r}], start_new_session=True)\n"
        f"outcome = follow(EventReader(Path({str(events)!r})), child, Console(), title='signs',"
        " log=Path('run.log'), resume='signs run')\n"
        "print('status:', outcome.status)\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        os.execve(sys.executable, [sys.executable, "-c", code], environment)
    shown = ""
    sent = False
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                break
        if not sent and shown.count("running") > 2:
            os.write(terminal, b"\x03")
            sent = True
    os.waitpid(pid, 0)
    os.close(terminal)
    assert sent
    assert "status: interrupted" in shown
    assert "Continue: signs run" in shown
    assert "\x1b[?25h" in shown  # the cursor is back
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", None),
        ("all is well\nINFO: no error here\n", None),
        (
            "Traceback (most recent call last):\nValueError: first\n\nTraceback ...\n"
            "tensorflow.python.framework.errors_impl.InvalidArgumentError: second\nINFO bye\n",
            "tensorflow.python.framework.errors_impl.InvalidArgumentError: second",
        ),
        (
            "KeyError: 'x' [while running 'Map(f)']\nE0000 grpc",
            "KeyError: 'x' [while running 'Map(f)']",
        ),
        ("MemoryError\n", "MemoryError"),
        (
            "2026-11-22 22:14:00.1: E tensorflow/core/a.cc:1] CUDA_ERROR\nI0000 fine",
            "2026-11-22 22:14:00.1: E tensorflow/core/a.cc:1] CUDA_ERROR",
        ),
        (
            "Fatal Python error: Segmentation fault\n\nThread 1\n",
            "Fatal Python error: Segmentation fault",
        ),
        ("E1122 22:14:00.1 pid a.cc:1] no\n", "E1122 22:14:00.1 pid a.cc:1] no"),
        (
            "E0000 00:00:1795434980.1 30759 cuda_platform.cc:52] failed call to cuInit: INTERNAL: "
            "CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)\n",
            None,
        ),
        ("ValueError: \x1b[31mred\x1b[0m\x07\n", "ValueError: [31mred[0m"),
        ("ValueError: " + "x" * 400, "ValueError: " + "x" * 285 + "..."),
    ],
)
def test_last_error(tmp_path: Path, log: str, expected: str | None) -> None:
    path = tmp_path / "run.log"
    path.write_text(log)
    assert last_error(path) == expected


def test_last_error_of_a_large_or_missing_or_binary_log(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    assert last_error(path) is None
    path.write_bytes(b"ValueError: old\n" + b"x\n" * 500_000 + b"\xff\xfe\nValueError: new\n")
    assert last_error(path) == "ValueError: new"
    assert last_error(tmp_path) is None
