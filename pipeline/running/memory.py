"""How much memory a run takes: its process and all that it starts, together; how much there is."""

import threading
from pathlib import Path
from typing import Self

import psutil

_INTERVAL_S = 0.5
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


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

    def __exit__(self, *_: object) -> None:
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


def available() -> tuple[int, bool]:
    """Bytes that a new program may take, and whether a container's limit sets them."""
    free, limited = psutil.virtual_memory().available, _cgroup_available()
    return (free, False) if limited is None or limited >= free else (limited, True)


def _cgroup_available() -> int | None:
    """Bytes that the control groups of this process leave it; None where they set no limit."""
    left: list[int] = []
    for line in _lines(_OWN_CGROUP):
        _, controllers, own = line.split(":", 2)
        if controllers == "":
            base, limit, used = _CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            base = _CGROUPS / "memory"
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        inner = base / own.lstrip("/")
        for group in (inner, *inner.parents):
            # The kernel gives cached files back when memory is asked for.
            cached = [x for x in _lines(group / "memory.stat") if x.startswith("inactive_file ")]
            numbers = [
                *_lines(group / limit),
                *_lines(group / used),
                *(x.split()[1] for x in cached),
            ]
            if len(numbers) >= 2 and all(number.isdigit() for number in numbers):
                total, taken, *reclaimable = map(int, numbers)
                left.append(max(0, total - taken + sum(reclaimable)))
            if group == base:
                break
    return min(left, default=None)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
