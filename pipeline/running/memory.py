"""How much memory a run takes: its process and all that it starts, together."""

import threading
from types import TracebackType
from typing import Self

import psutil

_INTERVAL_S = 0.5


class PeakMemory:
    """Samples the resident memory of this process and its descendants while it is open.

    The operating system's own peaks do not add up: a child's begins at what its parent held when it
    was started.

    Attributes:
        mib: the largest sum seen, in MiB.
    """

    def __init__(self) -> None:
        self.mib = 0.0
        self._of_step = 0.0
        self._process = psutil.Process()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._thread.join()
        self._sample()

    def taken(self) -> float:
        """The largest sum, in MiB, since this was last asked."""
        self._sample()
        mib, self._of_step = self._of_step, 0.0
        return mib

    def _watch(self) -> None:
        while not self._closed.wait(_INTERVAL_S):
            self._sample()

    def _sample(self) -> None:
        total = 0
        for process in [self._process, *self._process.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        self.mib = max(self.mib, total / 2**20)
        self._of_step = max(self._of_step, total / 2**20)
