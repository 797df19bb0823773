"""Workers that fail are one error that says which way."""

import logging
from pathlib import Path

import pytest

from data import IngestError, beam


def test_what_a_worker_says_last_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(IngestError) as caught:
        beam._in_processes(str(missing), [0, 1, 2], 2)
    assert str(caught.value) == (
        "a conversion process failed (1): FileNotFoundError: [Errno 2] No such file or directory: "
        f"'{missing}/plan.pickle'"
    )


def test_beams_addition_to_an_error_is_taken_off_and_its_log_is_quiet_meanwhile() -> None:
    logger = logging.getLogger("apache_beam.runners.common")
    record = logging.makeLogRecord({})
    first = beam._one_error()
    first.__enter__()
    with pytest.raises(IngestError) as caught, beam._one_error():  # as of another thread
        first.__exit__(None, None, None)
        assert not logger.filter(record)
        raise IngestError("the disk is full [while running 'Convert']")
    assert str(caught.value) == "the disk is full"
    assert logger.filter(record)


def test_progress_ends_at_all_and_never_beyond(tmp_path: Path) -> None:
    (tmp_path / "progress").write_bytes(bytes(7))
    seen: list[tuple[int, int | None]] = []
    with beam._watched(tmp_path / "progress", 5, lambda *args: seen.append(args)):
        pass
    assert seen[-1] == (5, 5)
    assert {done for done, _ in seen} <= {5}
