"""The connections of the REST port: how many, how long each may wait, how much it may send.

    idle -> head -> body -> answering -> idle

uvicorn bounds the time between two requests, and nothing else.
"""

import asyncio
import enum
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from model_server.rest.app import error_page

_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_MOST_HEADERS = 100
_MOST_PIPELINED = 16
# Who takes an answer, or sends a body, more slowly holds our memory for his own reasons.
_SLOWEST_BYTES_PER_S = 64 * 1024
# A place is not taken from a client that is between two requests.
_LEAST_WAIT_S = 1.0
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Limits:
    """What a connection may take.

    Args:
        connections: at the same time. One more takes the place of the one that has waited longest,
            or is refused where none waits.
        idle_s: seconds that one may be without a request.
        read_s: seconds for a request's head, and again for its body; a body has a second more for
            each 64 KiB that came.
        head_bytes: a request's first line and headers.
    """

    connections: int = 1024
    idle_s: float = 620.0
    read_s: float = 30.0
    head_bytes: int = 64 * 1024


class _Phase(enum.Enum):
    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWERING = enum.auto()


class _RefusedError(Exception):
    """Stops the parser."""


class Connections:
    """All connections of a port; `open` is uvicorn's factory of protocols."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: set[_Connection] = set()

    def open(self, **of_uvicorn: Any) -> asyncio.Protocol:
        """A connection that was accepted."""
        return _Connection(self, **of_uvicorn)

    def admit(self, connection: "_Connection") -> bool:
        """Whether there is a place for one more; takes it."""
        if len(self._open) >= self.limits.connections:
            now = time.monotonic()
            waiting = [one for one in self._open if one.waited_s(now) >= _LEAST_WAIT_S]
            if not waiting:
                return False
            longest = max(waiting, key=lambda one: one.waited_s(now))
            longest.transport.abort()
            self.leave(longest)
        self._open.add(connection)
        return True

    def leave(self, connection: "_Connection") -> None:
        """Frees a place."""
        self._open.discard(connection)

    async def watch(self) -> None:
        """Cuts those whose time is over, for ever."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now = time.monotonic()
            for connection in list(self._open):
                connection.look(now)


class _Connection(HttpToolsProtocol):
    """One connection; as libevent, it knows no protocol but this, and says what is no HTTP."""

    def __init__(self, all_of_them: Connections, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._all = all_of_them
        self._limits = all_of_them.limits
        self._phase = _Phase.IDLE
        self._since = time.monotonic()  # when the phase began
        self._received = 0  # bytes, in this phase
        self._fields = 0  # bytes of the head that the parser has read
        self._unsent: tuple[float, int] | None = None  # when, and how many bytes
        self._status = HTTPStatus.BAD_REQUEST  # what the parser is stopped for
        self._is_last = False

    def waited_s(self, now: float) -> float:
        """How long there has been no whole request; 0 while one is sent or answered."""
        return now - self._since if self._phase in (_Phase.IDLE, _Phase.HEAD) else 0.0

    def look(self, now: float) -> None:
        """Cuts it if its time is over."""
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            self._look_at_reader(now, unsent)
            return
        self._unsent = None
        limits, passed_s = self._limits, now - self._since
        if self._phase is _Phase.IDLE and passed_s > limits.idle_s:
            self.transport.abort()
        elif self._phase is _Phase.HEAD and passed_s > limits.read_s:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif self._phase is _Phase.BODY:
            limit_s = limits.read_s + self._received / _SLOWEST_BYTES_PER_S
            if passed_s > limit_s and not self.flow.read_paused:  # else it is we who are slow
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _look_at_reader(self, now: float, unsent: int) -> None:
        since, before = self._unsent = self._unsent or (now, unsent)
        if now - since > self._limits.read_s:
            if unsent > before - _SLOWEST_BYTES_PER_S * self._limits.read_s:
                self.transport.abort()
            self._unsent = (now, unsent)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._enter(_Phase.IDLE)
        if not self._all.admit(self):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.IDLE:
            self._enter(_Phase.HEAD)
        self._received += len(data)
        # The parser would drop the body of a request that offers to go on in HTTP/2, as Java's
        # client and `curl --http2` do. A body that looks like such a header is no JSON.
        super().data_received(_UPGRADE.sub(b"\r\nIgnored:", data))
        # The parser keeps to itself what it has of a line that has no end yet.
        if self._phase is _Phase.HEAD and self._received > self._limits.head_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._phase is not _Phase.HEAD:  # pipelined
            self._enter(_Phase.HEAD)
        self._fields = 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._enter(_Phase.BODY)
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._status = HTTPStatus.TOO_MANY_REQUESTS
            raise _RefusedError
        super().on_headers_complete()
        if self._is_last:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._enter(_Phase.IDLE if self.cycle.response_complete else _Phase.ANSWERING)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._phase is _Phase.ANSWERING and not self.pipeline:
            self._enter(_Phase.IDLE)
        super().on_response_complete()

    def shutdown(self) -> None:
        """The server stops: what is being sent here is answered still."""
        self._is_last = True
        if self._phase is not _Phase.HEAD:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._status)

    def _enter(self, phase: _Phase) -> None:
        self._phase, self._since, self._received = phase, time.monotonic(), 0

    def _count(self, size: int) -> None:
        self._fields += size
        if self._fields > self._limits.head_bytes or len(self.headers) > _MOST_HEADERS:
            self._status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise _RefusedError

    def _refuse(self, status: HTTPStatus) -> None:
        """Says why, unless another answer is under way, and hangs up."""
        if self.transport.is_closing():
            return
        is_first = not self.pipeline and (self.cycle is None or not self.cycle.response_started)
        if is_first or self.cycle.response_complete:
            page = error_page(status, status.phrase)
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: text/html\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n%s" % (status, status.phrase.encode(), len(page), page)
            )
        self.transport.close()
