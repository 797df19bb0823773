"""Beam's failures are one error that says which way."""

import logging

import pytest

from data import IngestError, beam


def test_beams_addition_to_an_error_is_taken_off_and_its_log_is_quiet_meanwhile() -> None:
    logger = logging.getLogger("apache_beam.runners.common")
    record = logging.makeLogRecord({})
    first = beam.one_error()
    first.__enter__()
    with pytest.raises(IngestError) as caught, beam.one_error():  # as of another thread
        first.__exit__(None, None, None)
        assert not logger.filter(record)
        raise IngestError("the disk is full [while running 'Convert']")
    assert str(caught.value) == "the disk is full"
    assert logger.filter(record)
