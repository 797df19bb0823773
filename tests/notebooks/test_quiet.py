"""What is printed by Python or by C is swallowed within, and heard again after."""

import os
import sys

import pytest

from notebooks.quiet import quiet


def test_nothing_is_heard_within(capfd):
    with quiet():
        print("by Python")
        print("by Python", file=sys.stderr)
        os.write(2, b"by C\n")
    os.write(2, b"after\n")
    assert capfd.readouterr() == ("", "after\n")


def test_errors_are_raised_and_what_follows_is_heard(capfd):
    with pytest.raises(ValueError, match="no such thing"), quiet():
        raise ValueError("no such thing")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
