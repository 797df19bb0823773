"""One line an event, as text or as JSON."""

import io
import json
import logging
import time
from collections.abc import Callable, Iterator

import pytest

from model_server import logs
from model_server.logs import OncePerPeriod, start_logging
from tests.model_server.stand_in import eventually


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


# --- What repeats ---------------------------------------------------------------------------------


@pytest.fixture
def calm() -> Iterator[Callable[[], list[str]]]:
    """A logger whose faults repeat; what was told so far."""
    handler, stream = OncePerPeriod(0.3), io.StringIO()
    handler.setStream(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("repeating")
    logger.addHandler(handler)
    logger.propagate = False
    yield lambda: stream.getvalue().splitlines()
    handler.close()
    logger.removeHandler(handler)
    logger.propagate = True


def test_a_fault_that_repeats_is_told_once_and_then_how_often(calm):
    log = logging.getLogger("repeating")
    for _ in range(1000):
        log.error("no %s left", "files")
    assert calm() == ["ERROR no files left"]
    eventually(lambda: len(calm()) > 1)
    assert calm()[1:] == ["ERROR no files left (999 times more)"]
    log.error("no files left")
    eventually(lambda: len(calm()) > 2)
    assert calm()[2:] == ["ERROR no files left (1 times more)"]
    # After a period without it, it is news.
    time.sleep(0.7)
    log.error("no files left")
    eventually(lambda: calm()[3:] == ["ERROR no files left"])


def test_what_differs_is_told(calm):
    log = logging.getLogger("repeating")
    for number in range(50):
        log.warning("version %d", number)
        log.info("asked")  # is no fault
        try:
            {}[number // 25]
        except KeyError:
            log.exception("bug")
    told = calm()
    assert [line for line in told if line.startswith("WARNING")] == [
        f"WARNING version {number}" for number in range(50)
    ]
    assert told.count("ERROR bug") == 2
    assert [line for line in told if line.startswith("KeyError")] == ["KeyError: 0", "KeyError: 1"]


def test_the_end_tells_what_was_counted(calm):
    log = logging.getLogger("repeating")
    for _ in range(3):
        log.error("no files left")
    (handler,) = [one for one in log.handlers if isinstance(one, OncePerPeriod)]
    handler.close()
    assert calm() == ["ERROR no files left", "ERROR no files left (2 times more)"]


def test_too_many_faults_that_differ_are_all_told(calm, monkeypatch):
    monkeypatch.setattr(logs, "_MOST_FAULTS", 2)
    log = logging.getLogger("repeating")
    for number in [1, 2, 3, 3, 2]:
        log.error("%d", number)
    assert calm() == ["ERROR 1", "ERROR 2", "ERROR 3", "ERROR 3"]
