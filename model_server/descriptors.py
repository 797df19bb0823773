"""Open files: as many as the system allows, shared out among the connections, and watched.

A process without a file to open accepts no connection and loads no model.
"""

import contextlib
import logging
import resource
import threading
from pathlib import Path

log = logging.getLogger(__name__)

_LOW = 1024
# For what is opened now and then: the files of a version that loads, the log of requests.
_OTHERS = 64
_FEWEST_CONNECTIONS, _MOST_CONNECTIONS = 8, 4096
_MOST_FILES = 2**16  # some systems allow a billion, and no connection would be refused before then
_WATCH_EVERY_S = 10.0
_NEARLY_ALL = 0.9


def raise_limit() -> None:
    """Raises the limit of open files as far as this process may."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if most == resource.RLIM_INFINITY else min(most, _MOST_FILES)
    if limit != resource.RLIM_INFINITY and limit < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def connections_of_each_api(apis: int) -> int:
    """How many connections each of so many APIs may have, by the files that are left now."""
    left = _limit() - _in_use() - _OTHERS
    number = max(_FEWEST_CONNECTIONS, min(_MOST_CONNECTIONS, left // apis))
    if _limit() < _LOW:
        log.warning(
            "This process may open %d files (ulimit -n): each API takes %d connections at most",
            _limit(),
            number,
        )
    return number


def watch(stopping: threading.Event) -> None:
    """Tells when nearly all files are open, until `stopping` is set."""
    while not stopping.wait(_WATCH_EVERY_S):
        in_use, limit = _in_use(), _limit()
        if in_use > _NEARLY_ALL * limit:
            log.warning("Nearly all of the %d files that may be open are (ulimit -n)", limit)


def _limit() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_FILES if limit == resource.RLIM_INFINITY else limit


def _in_use() -> int:
    try:
        return len(list(Path("/dev/fd").iterdir()))
    except OSError:  # it needs one, too
        return _limit()
