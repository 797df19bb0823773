"""Follows a run to its end: reads its events, shows them, and ends it when the user says so.

child process -> events.jsonl -> EventReader -> RunState -> the view
Ctrl-C, or a signal that `signs.command` makes one of -> the child and all it started are stopped
"""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from pipeline.showing.events import EventReader, RunFinished
from pipeline.showing.forecast import Forecast
from pipeline.showing.run_state import RunState
from pipeline.showing.view import open_view
from pipeline.showing.wording import say

POLL_S = 0.2  # between two looks at the events; the pace of the spinner, and 3 % of one core
# A child that said it has finished may take this long to end; TensorFlow's threads are slow to.
EXIT_S = 20.0
_LOG_TAIL_BYTES = 256 * 1024
_EXCEPTION = re.compile(r"(\w+\.)*\w*(Error|Exception|Interrupt|Exhausted): ?\S|MemoryError$")
_NATIVE_ERROR = re.compile(
    # absl's, glog's and Python's own. Wherever there is no GPU, TensorFlow logs that as an error.
    r"(?!.*failed call to cuInit)"
    r"([EF]\d{4} |[EF]0000|Fatal Python error|.*\b(ERROR|FATAL|CRITICAL)\b|.*: [EF] tensorflow/)"
)
_SIGNAL_HINTS: dict[int, str] = {
    signal.SIGKILL: "as the kernel does when memory runs out",
    signal.SIGILL: "this processor lacks an instruction that TensorFlow needs: see `signs doctor`",
    signal.SIGTERM: "somebody else ended it",
}
# The kernel kills; oneDNN's kernels go on without the memory that they did not get.
_OUT_OF_MEMORY_SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)


@dataclass(frozen=True)
class RunEnd:
    """How a run ended. `error` is one line for the user where it did not finish."""

    status: Literal["finished", "failed", "interrupted"]
    error: str | None
    state: RunState


def follow(
    reader: EventReader,
    process: subprocess.Popen[bytes],
    console: Console,
    *,
    title: str,
    log: Path,
    resume: str,
    forecast: Forecast | None = None,
    advice: Mapping[str, str] | None = None,
    grace_s: float = 5.0,
) -> RunEnd:
    """Shows the run of `process` on `console` until it ends, and then says how, if not well.

    Args:
        reader: The events that `process` writes.
        process: The run. Started with `start_new_session=True`, it does not get the terminal's
            Ctrl-C itself, and what it leaves behind (Beam's workers, a model server) is ended
            with it.
        console: Where to show it; a live table on a terminal, else a line for every change.
        title: What runs, for the first line.
        log: The file that has the output of `process`; named, and searched for the last error.
        resume: The command line that starts the run again.
        forecast: How long its steps are expected to take; the time left is shown by it.
        advice: By component, what to try where a signal that want of memory ends in has killed it.
        grace_s: Seconds between asking the run to end and ending it by force.

    Returns:
        How it ended. However that was, no process of the run is left.
    """
    state = RunState(forecast=forecast)
    has_group = _leads_group(process)
    interrupted = False
    with contextlib.ExitStack() as leaving:
        leaving.callback(_end, process, has_group, grace_s)
        view = leaving.enter_context(open_view(console, state, title=title))
        try:
            _watch(reader, process, state, view.update)
        except KeyboardInterrupt:
            interrupted = True
        # Here too, so that the last picture shows how it ended.
        _end(process, has_group, grace_s)
        state.apply(reader.read())
        cut_off = [step.name for step in state.running]
        state.stop(time.time())
    match state.finished:
        case RunFinished(ok=True):
            return RunEnd("finished", None, state)
        case None if interrupted:
            say(console, "Stopped. Each component that was done is kept and will be reused.")
            say(console, f"Continue: {resume}")
            say(console, f"Log:      {log}")
            return RunEnd("interrupted", "stopped by the user", state)
        case None:
            error = _death(process.returncode)
            if -(process.returncode or 0) in _OUT_OF_MEMORY_SIGNALS:
                error += "".join((advice or {}).get(name, "") for name in cut_off)
            last = last_error(log)
            error += f" Last error in the log: {last}" if last else ""
        case RunFinished(message=message):
            error = message or "The run failed and did not say why."
    say(console, f"Failed: {error}")
    say(console, f"Log:    {log}")
    return RunEnd("failed", error, state)


def last_error(log: Path) -> str | None:
    """The last line of the file `log` that tells of an error; None where there is none, or no file.

    See `error_line`.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            return error_line(file.read().decode(errors="replace"))
    except OSError:
        return None


def error_line(text: str) -> str | None:
    """The last line of a log's text that tells of an error, cut to a readable length.

    That is the end of the last Python traceback; failing that, the last line that a native library
    logged as an error. None where there is no such line.
    """
    for pattern in (_EXCEPTION, _NATIVE_ERROR):
        lines = [line for line in text.splitlines() if pattern.match(line)]
        if lines:
            line = "".join(character for character in lines[-1] if character.isprintable())
            return line if len(line) <= 300 else line[:297] + "..."
    return None


def _watch(
    reader: EventReader,
    process: subprocess.Popen[bytes],
    state: RunState,
    update: Callable[[], None],
) -> None:
    """Shows what happens until the process is over, or has had its time after its last event."""
    while True:
        # Asked before reading, so that nothing written before the end is missed.
        over = process.poll() is not None
        state.apply(reader.read())
        update()
        said_so = state.finished
        if over or (said_so is not None and time.time() - said_so.time > EXIT_S):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)


def _end(process: subprocess.Popen[bytes], has_group: bool, grace_s: float) -> None:
    """Ends the process, asking first, and what is left of its group. A second Ctrl-C hurries."""

    def send(number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if has_group:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)

    if process.poll() is None:
        send(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(grace_s)
    send(signal.SIGKILL)
    process.wait()


def _leads_group(process: subprocess.Popen[bytes]) -> bool:
    try:
        return os.getpgid(process.pid) == process.pid
    except ProcessLookupError:  # over already, and waited for
        return False


def _death(code: int) -> str:
    """What an exit code tells of a process that did not get to say why it ended."""
    if code >= 0:
        return f"The run ended before it was finished, with exit code {code}."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = _SIGNAL_HINTS.get(-code)
    return f"The run was killed by {name}{f' ({hint})' if hint else ''}."
