"""One line an event, as text or as JSON."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from model_server.logs import start_logging


@pytest.fixture
def start() -> Iterator[Callable[[str], None]]:
    """`start_logging` as in a process of its own: pytest's handlers are taken away for a while."""
    root, absl = logging.getLogger(), logging.getLogger("absl")
    handlers, level, absl_level = [], root.level, absl.level

    def start(log_format: str) -> None:
        handlers[:] = root.handlers
        root.handlers.clear()
        start_logging(log_format)

    yield start
    root.handlers[:] = handlers
    root.setLevel(level)
    absl.setLevel(absl_level)


def test_text(start, capsys):
    start("text")
    logging.getLogger("m").warning("version %d", 3)
    logging.getLogger("m").debug("not told")
    assert capsys.readouterr().err.endswith(" W version 3\n")


def test_json(start, capsys):
    start("json")
    logging.getLogger("m").info("two\nlines")
    event = json.loads(capsys.readouterr().err)
    assert event.pop("time").endswith("+00:00")
    assert event == {"level": "INFO", "logger": "m", "message": "two\nlines"}


def test_a_traceback_stays_on_the_line(start, capsys):
    start("json")
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("m").exception("Why")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["traceback"].endswith("ZeroDivisionError: division by zero")


def test_notes_of_tensorflow_are_no_business_of_the_user(start, capsys):
    start("text")
    logging.getLogger("absl").warning("deprecated")
    assert capsys.readouterr().err == ""
