"""Who gets through to the REST app, and what the others are told."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_server.access.hosts import Hosts
from model_server.access.http_guard import guarded
from model_server.access.tokens import REFUSAL, Tokens

TOKEN = "0123456789abcdef"
_TEXT = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=30),
    st.builds(
        "{} {}".format,
        st.sampled_from(["Bearer", "basic", "http://["]),
        st.text("a=:[]%/", max_size=20),
    ),
)
BASIC = "Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode()


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"let in"})


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    (tmp_path / "tokens").write_text(TOKEN)
    return Tokens(tmp_path / "tokens")


def ask(
    tokens: Tokens | None, *headers: tuple[str, str], body: int = 2
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of the answer to a request with a body of so many parts."""
    sent: list[Any] = []
    left = [body]

    async def receive() -> Any:
        left[0] -= 1
        return {"type": "http.request", "body": b"x" * 2**20, "more_body": left[0] > 0}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    asyncio.run(guarded(app, Hosts("127.0.0.1"), tokens)(scope, receive, send))
    start, end = sent
    assert left[0] in (0, body)  # it was all read, or is left to the app
    return start["status"], start["headers"], end["body"]


def test_strangers_names_are_not_answered() -> None:
    assert ask(None, ("host", "localhost:8501")) == (200, [], b"let in")
    assert ask(None) == (200, [], b"let in")  # HTTP/1.0 has no such header, and no browser
    status, headers, body = ask(None, ("host", 'evil.example":80'))
    assert status == 421
    assert dict(headers)[b"content-type"] == b"application/json"
    assert json.loads(body)["error"] == (
        "This server is not 'evil.example\"': ask for its address, or start it with "
        "--rest_allowed_hosts=NAME,..."
    )
    assert ask(None, ("host", "localhost"), ("host", "evil.example"))[0] == 421


def test_a_name_that_is_none_is_not_repeated(tokens: Tokens) -> None:
    status, _, body = ask(tokens, ("host", "a:b\xff"), ("authorization", f"Bearer {TOKEN}"))
    assert status == 421
    assert b"is not '': " in body


def test_tokens(tokens: Tokens) -> None:
    host = ("host", "localhost:8501")
    assert ask(tokens, host, ("authorization", f"Bearer {TOKEN}")) == (200, [], b"let in")
    for sent in (
        [],
        [("authorization", "Bearer 0123456789abcdeX")],
        [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")],
        [("x-authorization", f"Bearer {TOKEN}")],
    ):
        status, headers, body = ask(tokens, host, *sent)
        assert (status, json.loads(body)) == (401, {"error": REFUSAL})
        challenges = [value for name, value in headers if name == b"www-authenticate"]
        assert challenges == [b"Bearer", b'Basic realm="signs"']
        assert (b"connection", b"close") in headers


def test_what_a_browser_knows_does_not_serve_other_sites_pages(tokens: Tokens) -> None:
    host, known = ("host", "localhost:8501"), ("authorization", BASIC)
    assert ask(tokens, host, known)[0] == 200
    assert ask(tokens, host, known, ("origin", "http://LOCALHOST:8501"))[0] == 200
    for origin in (
        "http://localhost:8502",
        "http://evil.example",
        "null",
        "http://localhost",
        "http://[",
    ):
        assert ask(tokens, host, known, ("origin", origin))[0] == 401
    # A token that a page sends by itself is its own.
    own = ("authorization", f"Bearer {TOKEN}")
    assert ask(tokens, host, own, ("origin", "http://evil.example"))[0] == 200


def test_of_a_body_without_end_not_all_is_read(tokens: Tokens) -> None:
    parts = []

    async def receive() -> Any:
        parts.append(1)
        return {"type": "http.request", "body": b"x" * 2**20, "more_body": True}

    async def send(message: Any) -> None:
        pass

    scope = {"type": "http", "method": "POST", "headers": []}
    asyncio.run(guarded(app, Hosts("127.0.0.1"), tokens)(scope, receive, send))
    assert len(parts) == 65


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.sampled_from(["host", "authorization", "origin"]), _TEXT), max_size=4))
def test_whatever_is_sent_gets_a_status_and_no_entry(
    tokens: Tokens, headers: list[tuple[str, str]]
) -> None:
    status, _, body = ask(tokens, *headers)
    assert status in (401, 421)
    assert set(json.loads(body)) == {"error"}
