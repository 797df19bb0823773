"""Memory that requests in flight take together."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from model_server.errors import InvalidArgumentError, ResourceExhaustedError

_PATIENCE_S = 20.0


class Budget:
    """So many bytes, of which each request takes its part until it is answered.

    Args:
        total_bytes: what there is.
        what: what takes it, in the words of errors.
    """

    def __init__(self, total_bytes: float = math.inf, what: str = "requests") -> None:
        self._total = total_bytes
        self._what = what
        self._taken = 0
        self._changed = threading.Condition()
        # Who waits is at the door alone: a large request is not overtaken by small ones for ever.
        self._door = threading.Lock()

    @contextmanager
    def taken(self, cost: int, deadline: float | None = None) -> Iterator[None]:
        """Takes a part, waits for it if need be, and gives it back in the end.

        Args:
            cost: bytes.
            deadline: when the caller stops waiting, in seconds of `time.monotonic`. Nobody waits
                longer than 20 seconds.

        Raises:
            InvalidArgumentError: it is more than there is at all: asking again is of no use.
            ResourceExhaustedError: others had it until the time was up.
        """
        if cost > self._total:
            raise InvalidArgumentError(
                f"The request would take {_mib(cost)} of memory; {self._what} may take "
                f"{_mib(self._total)} together (--request_memory_mib): send fewer or smaller inputs"
            )
        self._take(cost, min(deadline or math.inf, time.monotonic() + _PATIENCE_S))
        try:
            yield
        finally:
            with self._changed:
                self._taken -= cost
                self._changed.notify()

    def _take(self, cost: int, until: float) -> None:
        if self._door.acquire(timeout=max(0.0, until - time.monotonic())):
            try:
                with self._changed:
                    if self._changed.wait_for(
                        lambda: self._taken + cost <= self._total, until - time.monotonic()
                    ):
                        self._taken += cost
                        return
            finally:
                self._door.release()
        raise ResourceExhaustedError(
            f"The request would take {_mib(cost)} of memory; of the {_mib(self._total)} for "
            f"{self._what} (--request_memory_mib) too much is in use: try again"
        )


def _mib(count: float) -> str:
    return f"{count / 2**20:,.0f} MiB"
