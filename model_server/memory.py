"""Memory that is free but stays with the process goes back to the system, now and then.

The C library keeps what many threads have freed, in pieces, for whoever wants as much again. After
large pictures that is gigabytes which nobody uses: it grows with every request of another kind.
"""

import contextlib
import ctypes
import os
import threading
from pathlib import Path

_WAIT_S = 30.0
_GROWN_BYTES = 256 * 2**20


def give_back() -> None:
    """Returns what is free to the system."""
    with contextlib.suppress(AttributeError, OSError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def watch(
    stopping: threading.Event, wait_s: float = _WAIT_S, grown_bytes: int = _GROWN_BYTES
) -> None:
    """Looks at the process's memory until the server stops.

    Args:
        stopping: whether the server stops.
        wait_s: seconds between two looks.
        grown_bytes: so much more than was left the last time is given back, as far as it is free.
    """
    left = _resident_bytes()
    while left and not stopping.wait(wait_s):
        if _resident_bytes() > left + grown_bytes:
            give_back()
            left = _resident_bytes()


def _resident_bytes() -> int:
    """What the process holds; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
