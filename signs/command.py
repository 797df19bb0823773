"""The process of a command: what surrounds it, and how it ends.

    standard streams, signals, the disk, the interpreter -> run -> at most one line, an exit code

A command's entry point is a module that imports this one alone and calls `run`, which imports the
rest: so a Ctrl-C is heard before anything heavy, and every command ends in the same way.

| what happens | what is told | exit code |
|---|---|---|
| Ctrl-C, SIGTERM, SIGHUP (unless ignored, as under nohup) | nothing | 130, 143, 129 |
| the reader of our standard output went away | nothing | 141 |
| standard output is closed or full | one line | 1 |
| OSError, MemoryError, ImportError that nobody else explained | one line | 1 |
| `python -OO` | one line | 2 |
"""

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

INTERRUPTED = 128 + signal.SIGINT  # the exit code after Ctrl-C, as shells count
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FAILED, _MISUSE = 1, 2
_AGAIN_S = 0.02
_NO_DOCSTRINGS = (
    "`python -OO` leaves out the docstrings, of which this help and TensorFlow are made: start it "
    "without -OO, and unset PYTHONOPTIMIZE"
)


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end; whoever must tidy up does so as after Ctrl-C."""


class _ReaderGone(BaseException):
    """Nobody reads our standard output any more. No library takes it for an error of its own."""


class _Signals:
    """Turns the signals that end a process into `Stopped`."""

    def __init__(self) -> None:
        self.first: int | None = None
        self._show = sys.excepthook

    def hear(self) -> None:
        """From now on; what was ignored by who started us stays so."""
        for number in _STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)
        sys.excepthook, sys.unraisablehook = self._uncaught, self._swallowed

    def hear_no_more(self) -> None:
        """What is left is the interpreter's end: another signal ends the process at once."""
        for number in _STOPPING:
            if signal.getsignal(number) == self._stop:
                signal.signal(number, signal.SIG_DFL)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.first = self.first or number
        raise Stopped

    def _uncaught(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """A second signal comes wherever it likes, also where the first is being dealt with."""
        if not isinstance(error, Stopped):
            self._show(kind, error, trace)

    def _swallowed(self, told: "UnraisableHookArgs") -> None:
        """Python cannot raise it everywhere, as in a finalizer: a moment later it can."""
        if isinstance(told.exc_value, Stopped):
            signal.signal(signal.SIGALRM, self._stop)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            sys.__unraisablehook__(told)


def run(program: str, command: Callable[[], int]) -> int:
    """Calls a command in the main thread of its process.

    Args:
        program: its name, which begins the line that tells what went wrong.
        command: imports what it needs, does its work, and returns its exit code. What a user can
            mend it tells by itself.

    Returns:
        The exit code.

    Raises:
        Exception: a fault of ours, to be shown with its traceback.
    """
    signals = _Signals()
    signals.hear()
    try:
        _open_streams()
        if sys.flags.optimize > 1:
            print(f"{program}: error: {_NO_DOCSTRINGS}", file=sys.stderr)
            return _MISUSE
        _name_user()
        # gRPC looks at it as it is imported. Else a port with TLS writes a line for each stranger
        # who speaks none.
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        try:
            code = command()
        finally:
            sys.stdout.flush()
    except _ReaderGone:
        return 128 + signal.SIGPIPE
    except BaseException as error:
        # After a signal, native code may have made an error of another kind of it.
        if signals.first is None:
            told = _in_a_line(error)
            if told is None:
                raise
            print(f"{program}: error: {told}", file=sys.stderr)
            return _FAILED
        code = INTERRUPTED
    finally:
        signals.hear_no_more()
    return 128 + signals.first if signals.first and code == INTERRUPTED else code


def _in_a_line(error: BaseException) -> str | None:
    """What the surroundings lack, for who can mend them; None where the fault is ours."""
    match error:
        case OSError(strerror=str(reason), filename=place) if place is not None:
            return f"{os.fsdecode(place) if isinstance(place, bytes) else place}: {reason}"
        case OSError():
            return error.strerror or str(error)
        case MemoryError():
            return "the memory is not enough: end other programs, or raise the limit (ulimit -v)"
        case ImportError():
            while isinstance(cause := error.__cause__ or error.__context__, ImportError):
                error = cause  # NumPy's own words fill a page
            return f"{' '.join(str(error).split())}: `signs doctor` checks what is installed"
    return None


def _name_user() -> None:
    """Gives a number that is no user of this machine, as in a container, what libraries ask for."""
    import pwd

    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        import tempfile

        os.environ.setdefault("USER", str(os.getuid()))
        try:
            os.environ.setdefault("HOME", tempfile.gettempdir())
        except OSError:  # nothing can be written, and not every command needs that
            os.environ.setdefault("HOME", "/")


# --- Standard streams -----------------------------------------------------------------------------


class _Output(io.TextIOWrapper):
    """Standard output. What cannot be written is told by its name.

    Errors are met here and not below the buffer: there, a signal between a write and its end would
    let the buffer write the same again.
    """

    def write(self, text: str) -> int:
        with self._named_errors():
            return super().write(text)

    def flush(self) -> None:
        with self._named_errors():
            super().flush()

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            # What is buffered would be tried again when the interpreter ends, and complained of.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if err.errno == errno.EPIPE:
                raise _ReaderGone from None
            reason = "closed" if err.errno == errno.EBADF else err.strerror
            raise OSError(err.errno, reason, "standard output") from None


class _Errors(io.TextIOWrapper):
    """Standard error. What cannot be written is lost: there is no place left to tell it."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


def _open_streams() -> None:
    """Gives this process all three streams, and makes what they do with errors ours.

    The first file that is opened takes the number of a stream that is closed, and whatever prints
    would write into it.
    """
    for descriptor, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        # The output is opened for reading: writing to it fails, as to one that is closed.
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _remade(_Output, 1, sys.stdout), _remade(_Errors, 2, sys.stderr)


def _remade(kind: type[io.TextIOWrapper], descriptor: int, before: object) -> io.TextIOWrapper:
    """A stream as it was, save that what its encoding lacks is escaped and ends no run."""
    unbuffered = getattr(before, "write_through", False)
    file = open(descriptor, "wb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
    return kind(
        file,
        encoding=getattr(before, "encoding", None),
        errors="backslashreplace",
        line_buffering=getattr(before, "line_buffering", file.isatty()),
        write_through=unbuffered,
    )
