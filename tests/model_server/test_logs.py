"""One line an event, as text or as JSON."""

import json
import logging
from collections.abc import Iterator

import pytest

from model_server.logs import start_logging


@pytest.fixture(autouse=True)
def bare_root_logger() -> Iterator[None]:
    """As in a process of its own; afterwards pytest's handlers are back."""
    root, absl = logging.getLogger(), logging.getLogger("absl")
    handlers, level, absl_level = root.handlers[:], root.level, absl.level
    root.handlers.clear()
    yield
    root.handlers[:], root.level = handlers, level
    absl.setLevel(absl_level)


def test_text(capsys):
    start_logging("text")
    logging.getLogger("m").warning("version %d", 3)
    logging.getLogger("m").debug("not told")
    assert capsys.readouterr().err.endswith(" W version 3\n")


def test_json(capsys):
    start_logging("json")
    logging.getLogger("m").info("two\nlines")
    event = json.loads(capsys.readouterr().err)
    assert event.pop("time").endswith("+00:00")
    assert event == {"level": "INFO", "logger": "m", "message": "two\nlines"}


def test_a_traceback_stays_on_the_line(capsys):
    start_logging("json")
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("m").exception("Why")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["traceback"].endswith("ZeroDivisionError: division by zero")


def test_notes_of_tensorflow_are_no_business_of_the_user(capsys):
    start_logging("text")
    logging.getLogger("absl").warning("deprecated")
    assert capsys.readouterr().err == ""
