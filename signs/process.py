"""Processes that end when their parent does, however it ends; and how many cores one may use.

    parent: subprocess.Popen(..., stdin=subprocess.PIPE)      child: end_with_parent()

The pipe closes with the parent. (The kernel's own way, PR_SET_PDEATHSIG, ends the child as soon as
the *thread* that started it ends; it is for programs that cannot watch a pipe.)
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def end_with_parent(stop: Callable[[], object] | None = None) -> None:
    """Watches the standard input from a thread, until nobody holds its other end.

    Args:
        stop: called then. By default this process is killed, and if it leads a process group, all
            that it has started.
    """
    threading.Thread(target=_watch, args=[stop or _kill], daemon=True).start()


def killed_with_parent() -> None:
    """For `preexec_fn`: the kernel kills the child when the thread that started it ends.

    Linux alone knows this; elsewhere such a child outlives a parent that is killed.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS binds no process to cores


def _watch(stop: Callable[[], object]) -> None:
    # Not sys.stdin: a thread that waits in there aborts the interpreter's own end.
    while os.read(0, 4096):
        pass
    stop()


def _kill() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
