"""Waits, with an end."""

import time
from collections.abc import Callable

_POLL_S = 0.3


def until(is_so: Callable[[], bool], what: str, timeout_s: float = 120) -> None:
    """Waits until something is so.

    Raises:
        AssertionError: it is not within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(_POLL_S)
