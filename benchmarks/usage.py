"""What a process, and all that it has started, uses, by looking now and then."""

import psutil


class Usage:
    """Looks whenever it is told to.

    Args:
        pid: The process.

    Attributes:
        peak_mib: The largest sum of memory that is no file's, of all looks since it was set.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._known: dict[int, float] = {}  # of each process the last that was seen
        self.peak_mib = 0.0

    def sample(self) -> float:
        """Looks; returns the CPU seconds of all that was ever seen."""
        memory = 0
        try:
            processes = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:  # it has ended
            processes = []
        for process in processes:
            try:
                used, times = process.memory_info(), process.cpu_times()
            except psutil.Error:
                continue
            memory += used.rss - used.shared
            self._known[process.pid] = times.user + times.system
        self.peak_mib = max(self.peak_mib, memory / 2**20)
        return sum(self._known.values())
