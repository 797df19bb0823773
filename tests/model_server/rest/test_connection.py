"""What connections may take: places, time, bytes. After each the server still answers."""

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from model_server.rest.app import RestOptions, make_app
from model_server.rest.connection import Limits
from model_server.rest.server import RestServer
from tests.model_server.stand_in import eventually

WAIT_S = 20
ASK = b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\n"
BODY = b'{"instances":[1]}'
LIMITS = Limits(connections=4, idle_s=1.5, read_s=1.0, head_bytes=8000)


@contextlib.contextmanager
def serving(core, limits: Limits = LIMITS) -> Iterator[RestServer]:
    app = make_app(core.predictions, core.statuses, RestOptions(), core.metrics)
    server = RestServer(app, "127.0.0.1", 0, 4, limits)
    server.start()
    try:
        yield server
    finally:
        assert server.stop(5)


@pytest.fixture(scope="module")
def server(core):
    with serving(core) as server:
        yield server


@pytest.fixture(autouse=True)
def it_still_answers(server):
    yield
    eventually(lambda: status(server) == 200)


def connect(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S)


def heard(raw: socket.socket) -> int:
    """The status of one answer; the connection stays."""
    answer = http.client.HTTPResponse(raw)
    answer.begin()
    answer.read()
    return answer.status


def asked(raw: socket.socket) -> int:
    raw.sendall(ASK)
    return heard(raw)


def told(raw: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while part := raw.recv(65536):
            answer += part
    return answer


def status(server) -> int | None:
    """Of a question on a connection of its own; None where there was no answer."""
    with contextlib.suppress(OSError, http.client.HTTPException), connect(server) as raw:
        return asked(raw)
    return None


def exchange(server, *parts: bytes, pause_s: float = 0.0) -> tuple[bytes, float]:
    """What the server says to parts that are sent one after the other, and when it hung up."""
    started = time.monotonic()
    with connect(server) as raw:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                raw.sendall(part)
                time.sleep(pause_s)
        return told(raw), time.monotonic() - started


def test_an_idle_connection_ends(server):
    for first in (b"", ASK):
        answer, seconds = exchange(server, first)
        assert answer[:15] == (b"HTTP/1.1 200 OK" if first else b"")
        assert 1.4 < seconds < 5


def test_the_one_that_waited_longest_makes_room(core):
    with serving(core, Limits(connections=3)) as server:
        raws = [connect(server) for _ in range(3)]
        assert [asked(raw) for raw in (raws[0], raws[2], raws[1])] == [200, 200, 200]
        time.sleep(1.1)
        assert asked(raws[0]) == 200
        assert status(server) == 200
        assert told(raws[2]) == b""
        assert [asked(raw) for raw in raws[:2]] == [200, 200]
        for raw in raws:
            raw.close()


def test_where_nobody_waits_one_more_is_refused(server, core):
    core.servable.may_end.clear()
    body = b'{"signature_name":"wait","instances":[1]}'
    raws = [connect(server) for _ in range(LIMITS.connections)]
    for raw in raws:
        raw.sendall(POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    time.sleep(1.1)
    assert status(server) == 503
    core.servable.may_end.set()
    for raw in raws:
        assert heard(raw) == 200
        raw.close()


def test_a_storm_of_connections(server):
    raws = [connect(server) for _ in range(100)]
    eventually(lambda: status(server) == 200)
    for raw in raws:
        raw.close()


def test_slow_heads(server):
    answer, seconds = exchange(server, *[ASK[:10], b"a", b"b", b"c", b"d"] * 2, pause_s=0.4)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert seconds < 6


def test_slow_bodies(server):
    head = POST + b"Content-Length: 1000\r\n\r\n"
    answer, seconds = exchange(server, head, *[b"x"] * 8, pause_s=0.4)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert seconds < 6
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    answer, _ = exchange(server, chunked, *[b"1\r\nx\r\n"] * 8, pause_s=0.4)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_an_answer_that_nobody_takes(server):
    text = b"x" * 20_000_000
    body = b'{"signature_name":"echo_string","inputs":"%s"}' % text
    with connect(server) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.sendall(POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        eventually(lambda: not server._connections._open)


@pytest.mark.parametrize(
    "head",
    [
        ASK[:-2] + b"a: " + b"x" * 10_000_000 + b"\r\n\r\n",
        ASK[:-2] + b"a: x\r\n" * 100_000 + b"\r\n",
        ASK[:-2] + b"a: x\r\n" * 200 + b"\r\n",
        ASK[:-2] + b"a" * 10_000_000,
        b"GET /" + b"a" * 10_000_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["bytes", "number", "200", "name", "path", "9000"],
)
def test_heads_that_are_too_large(server, head):
    answer, seconds = exchange(server, head)
    # Who goes on sending may not get to hear why.
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n") or (
        not answer and len(head) > 100_000
    )
    assert seconds < 5


def test_headers_of_a_browser_are_not(server):
    cookies = b"Cookie: " + b"x" * 4000 + b"\r\n"
    answer, _ = exchange(
        server, ASK[:-2] + cookies + b"a: b\r\n" * 90 + b"Connection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_many_requests_in_one_breath(server):
    answer, _ = exchange(server, ASK * 10_000)
    assert answer.count(b"HTTP/1.1 200 OK") <= 20
    answer, _ = exchange(server, ASK * 10)
    assert answer.count(b"HTTP/1.1 200 OK") == 10


def test_the_end_waits_for_a_request_that_is_being_sent(core):
    with serving(core) as server, connect(server) as raw, connect(server) as idle:
        assert asked(idle) == 200
        raw.sendall(ASK[:20])
        time.sleep(0.2)
        server._server.should_exit = True
        assert told(idle) == b""
        raw.sendall(ASK[20:])
        answer = told(raw)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nconnection: close\r\n" in answer
