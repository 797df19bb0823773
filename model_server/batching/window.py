"""How long a batch that is not full waits for more rows.

    came -> [queued] -> taken -> [running] -> left        present = queued + running

Clients that were answered together ask again together, but one after another: a thread that takes
what is there finds the first few, and the others find no thread. A lone request on an idle server,
however, must wait for nobody. So a batch waits for those who were here lately, and for nobody else:
until it has its thread's share of them, or all of them are here again. Who does not come back
within half the time of a run is waited for no longer.
"""

import math
import threading
import time
from collections.abc import Callable

# Of the time of a run: what may be lost when clients leave.
_PATIENCE = 0.5
_LONGEST_S = 0.1


class Window:
    """The window of one model's batches. Any thread may call it.

    Args:
        max_rows: the most rows of a batch.
        threads: how many batches may run at the same time.
        timeout_s: every batch waits so many seconds, as TF Serving's do; None waits for those who
            were here lately.
        clock: tells the time.
    """

    def __init__(
        self,
        max_rows: int,
        threads: int,
        timeout_s: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_rows = max_rows
        self._threads = threads
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._present = 0
        self._lately = 0  # the most rows that were present, less those that did not come back
        self._patience_s = 0.0
        self._left_at = -math.inf

    def due(self, rows: int, since: float) -> float:
        """When an open batch of `rows` rows may be taken, whose first task came at `since`."""
        if self._timeout_s is not None:
            return since + self._timeout_s
        with self._lock:
            if not self._some_are_missing(rows):
                return since
            return max(since, self._left_at) + self._patience_s

    def came(self, rows: int) -> None:
        """A request of `rows` rows is about to be queued."""
        with self._lock:
            self._present += rows
            self._lately = max(self._lately, self._present)

    def taken(self, rows: int) -> None:
        """A batch of `rows` rows waits no longer."""
        with self._lock:
            # Who is not here though nobody else waits or runs is missing, too: the batch was full
            # enough, but shares are cut for more than there are.
            if self._some_are_missing(rows) or rows == self._present < self._lately:
                self._lately = (self._lately + self._present) // 2

    def left(self, rows: int, run_s: float | None = None) -> None:
        """So many rows are about to be answered, after a run of `run_s` seconds if it succeeded.

        Before, not after: who has an answer may be back before the next line.
        """
        with self._lock:
            self._present -= rows
            self._left_at = self._clock()
            if run_s is not None:
                self._patience_s = min(_LONGEST_S, _PATIENCE * run_s)

    def _some_are_missing(self, rows: int) -> bool:
        share = min(self._max_rows, math.ceil(self._lately / self._threads))
        return rows < share and self._present < self._lately
