"""Whom a request is for, what goes with it, and how a blocking transport is awaited."""

import asyncio
from pathlib import Path

import pytest

from signs.transports.transport import (
    Awaited,
    ClientError,
    Target,
    Tls,
    WithHeaders,
    checked_headers,
)
from signs.waiting import BLOCKING, ON_LOOP, at_once


class Recording:
    """A blocking transport that answers with what it was called with."""

    closed = False

    def predict(self, *arguments: object) -> object:
        return ("predict", *arguments)

    def status(self, *arguments: object) -> object:
        return ("status", *arguments)

    def metadata(self, *arguments: object) -> object:
        return ("metadata", *arguments)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("waiting", [BLOCKING, ON_LOOP])
def test_a_blocking_transport_is_awaited(waiting):
    run = at_once if waiting is BLOCKING else asyncio.run
    blocking = Recording()
    awaited = Awaited(blocking, waiting)
    headers = {"a": "b"}
    assert run(awaited.predict("look", {}, ("y",), 5, headers)) == (
        *("predict", "look", {}, ("y",), 5, headers, (), None),
    )
    assert run(awaited.predict("look", {}, ("y",), 5, headers, ("z",), "best")) == (
        *("predict", "look", {}, ("y",), 5, headers, ("z",), "best"),
    )
    assert run(awaited.status(5, headers)) == ("status", 5, headers)
    assert run(awaited.metadata(5)) == ("metadata", 5, {})
    run(awaited.close())
    assert blocking.closed


def test_headers_that_go_with_every_request():
    sending = Recording()
    always = WithHeaders(sending, {"a": "b", "c": "d"})
    assert always.status(5) == ("status", 5, {"a": "b", "c": "d"})
    assert always.metadata(5, {"a": "x"}) == ("metadata", 5, {"a": "x", "c": "d"})
    assert always.predict("look", {}, ("y",), 5, {"e": "f"}, ("z",), "best") == (
        *("predict", "look", {}, ("y",), 5, {"a": "b", "c": "d", "e": "f"}, ("z",), "best"),
    )
    always.close()
    assert sending.closed


def test_headers_are_checked():
    assert checked_headers(None) == {}
    good = {"authorization": "Bearer a.b-c=", "x-request.id_1": ""}
    assert checked_headers(good) == good
    for bad in ({"X": "1"}, {"": "1"}, {"a b": "1"}, {"a:": "1"}, {"a": "\r\nb: c"}, {"a": 1}):
        with pytest.raises(ClientError, match="`metadata`: "):
            checked_headers(bad)


def test_a_target_has_one_choice():
    with pytest.raises(ClientError, match="Only one of `version` and `label`"):
        Target("signs", 1, "stable")
    with pytest.raises(ClientError, match="`version` must not be negative"):
        Target("signs", -1)


def test_certificate_and_key_go_together(tmp_path):
    with pytest.raises(ClientError, match="name both"):
        Tls(cert=Path(__file__))
    with pytest.raises(ClientError, match=r"none\.pem: no such file"):
        Tls(ca=tmp_path / "none.pem")
