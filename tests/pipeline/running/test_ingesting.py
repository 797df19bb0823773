"""What is seen while an ingestion runs."""

import io
import time

import pytest
from rich.console import Console

from data.sources.source import Progress
from pipeline.running import ingesting
from pipeline.running.ingesting import shortened, showing


def test_a_terminal_shows_what_is_done() -> None:
    output = io.StringIO()
    with showing(Console(file=output, force_terminal=True, width=80)) as report:
        report(Progress("Listing " + "a folder of a long name/" * 9, 1234))
    (line,) = {
        line for line in output.getvalue().replace("\r", "\n").split("\n") if "1,234" in line
    }
    assert "Listing a folder o...er of a long name/" in line
    assert "1,234 files" in line


def test_a_log_gets_a_line_at_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingesting, "_LINE_S", 0.01)
    output = io.StringIO()
    with showing(Console(file=output, width=10_000)) as report:
        report(Progress("Listing [x]", 3, 9))
        deadline = time.monotonic() + 10
        while output.getvalue().count("\n") < 2:  # also while nothing new is reported
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert output.getvalue().startswith("Listing [x]: 3 of 9 files, 0.0 s\nListing [x]: 3 of 9")


@pytest.mark.parametrize(
    ("progress", "seconds", "words"),
    [
        (Progress("Converting", 25, 100, "images"), 60, ", about 3 min left"),
        (Progress("Converting", 25, 100, "images"), 1, ""),  # too early to tell
        (Progress("Converting", 0, 100, "images"), 60, ""),
        (Progress("Reading", 25), 60, ""),
    ],
)
def test_how_long_the_rest_takes(progress: Progress, seconds: float, words: str) -> None:
    assert ingesting._left(progress, seconds) == words


def test_what_is_quick_says_nothing() -> None:
    output = io.StringIO()
    with showing(Console(file=output)) as report:
        report(Progress("Listing x", 3))
    assert output.getvalue() == ""


def test_shortened() -> None:
    assert shortened("short", 10) == "short"
    assert shortened("0123456789abc", 11) == "0123...9abc"
