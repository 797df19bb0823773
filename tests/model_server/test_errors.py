"""Messages as they are sent: cut at 1,024 bytes, never within a character."""

import pytest

from model_server.errors import InvalidArgumentError


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, "x" * 1024 + "...TRUNCATED"),
        ("é" * 512, "é" * 512),
        ("é" * 513, "é" * 512 + "...TRUNCATED"),
        ("x" + "é" * 512, "x" + "é" * 511 + "...TRUNCATED"),
        ("\ud800", "?"),
    ],
)
def test_message(text, sent):
    error = InvalidArgumentError(text)
    assert (error.message, str(error)) == (sent, text)
