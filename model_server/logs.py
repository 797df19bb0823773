"""The server's log on standard error: one line an event, as text or as JSON objects.

What goes wrong again and again is told once a minute, with how often it did.
"""

import json
import logging
import threading
import traceback
from datetime import UTC, datetime

_PERIOD_S = 60.0
# Faults that differ; beyond them all are told.
_MOST_FAULTS = 1000


class _JsonFormatter(logging.Formatter):
    """{"time": RFC 3339 in UTC, "level", "logger", "message", and "traceback" of a bug}"""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event)


class OncePerPeriod(logging.StreamHandler):
    """Tells a warning or an error at once, and then how often it came again in each period.

    Two are the same if logger, text, error and the line that raised it are.

    Args:
        period_s: how long a fault is only counted.
    """

    def __init__(self, period_s: float = _PERIOD_S) -> None:
        super().__init__()
        self._period_s = period_s
        self._repeated: dict[tuple[str, ...], tuple[logging.LogRecord, int]] = {}
        self._guard = threading.Lock()
        self._timer: threading.Timer | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """See `logging.Handler`."""
        if record.levelno >= logging.WARNING and self._is_told(record):
            return False
        return bool(super().handle(record))

    def close(self) -> None:
        """Tells what it has counted."""
        with self._guard:
            if self._timer is not None:
                self._timer.cancel()
        self._tell()
        super().close()

    def _is_told(self, record: logging.LogRecord) -> bool:
        key = _key(record)
        with self._guard:
            first, times = self._repeated.get(key, (record, -1))
            if times < 0 and len(self._repeated) >= _MOST_FAULTS:
                return False
            self._repeated[key] = first, times + 1
            if self._timer is None:
                self._start_timer()
        return times >= 0

    def _start_timer(self) -> None:
        self._timer = threading.Timer(self._period_s, self._on_time)
        self._timer.daemon = True
        self._timer.start()

    def _on_time(self) -> None:
        self._tell()
        with self._guard:
            self._timer = None
            if self._repeated:
                self._start_timer()

    def _tell(self) -> None:
        with self._guard:
            repeated = [(first, times) for first, times in self._repeated.values() if times]
            self._repeated = {
                key: (first, 0) for key, (first, times) in self._repeated.items() if times
            }
        for first, times in repeated:
            text = f"{first.getMessage().rstrip()} ({times} times more)"
            told = logging.LogRecord(
                first.name, first.levelno, first.pathname, first.lineno, text, None, None
            )
            super().handle(told)


def _key(record: logging.LogRecord) -> tuple[str, ...]:
    key = (record.name, record.levelname, record.getMessage())
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return key
    raised = traceback.extract_tb(error.__traceback__)[-1:]
    where = [f"{at.filename}:{at.lineno}" for at in raised]
    return (*key, type(error).__name__, str(error), *where)


def start_logging(log_format: str) -> None:
    """Sends the log to standard error.

    Args:
        log_format: "text" or "json".
    """
    handler = OncePerPeriod()
    text = logging.Formatter("%(asctime)s %(levelname).1s %(message)s")
    handler.setFormatter(_JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Of TensorFlow's and absl's notes only the errors are the user's business.
    logging.getLogger("absl").setLevel(logging.ERROR)
