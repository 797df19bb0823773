"""The server's log on standard error: one line an event, as text or as JSON objects."""

import json
import logging
from datetime import UTC, datetime


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


def start_logging(log_format: str) -> None:
    """Sends the log to standard error.

    Args:
        log_format: "text" or "json".
    """
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname).1s %(message)s")
    handler.setFormatter(_JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Of TensorFlow's and absl's notes only the errors are the user's business.
    logging.getLogger("absl").setLevel(logging.ERROR)
