"""The REST API over HTTP, as an ASGI app; `server` runs it.

What TF Serving's HTTP library (libevent) does, and an ASGI app on uvicorn cannot or need not do:

- reason phrases are Python's ("504 Gateway Timeout", not "Gateway Time-out"; none for 499), header
  names are lower case and `date` comes first;
- HEAD is answered without a body, as HTTP wants it, and HTTP/1.0 connections always end;
- what has an unknown method, a bad chunk, or a path of more than 64 KB, is answered with 400 as
  what is no HTTP, not with 501 or 413; a fragment ("#...") in a path is dropped, and so is a "?"
  with nothing behind it;
- bodies, heads and connections have limits: `RestOptions`, `connection`.

Bodies, statuses, and the other headers are TF Serving's (`http_server.cc`, libevent's `http.c`).
"""

import asyncio
import re
import time
from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import grpc

from model_server.admission.budget import Budget
from model_server.asgi import App, Message, Receive, Send
from model_server.metrics import Metrics
from model_server.rest import paths
from model_server.rest.api import Reply, RestApi, RunDeadline
from model_server.rest.bodies import json_writer
from model_server.rest.reading import NoRoomError, Room, TooLargeError
from model_server.services.model_service import ModelService
from model_server.services.prediction_service import PredictionService
from model_server.tracing import Tracing

Headers = list[tuple[bytes, bytes]]

_HTTP_STATUSES = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
_METHODS = frozenset(("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"))
_URI = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9a-fA-F]{2})*")
_API = re.compile("/v1/.*", re.IGNORECASE)
_ORIGIN = re.compile(b"https?://")
_JSON: Headers = [(b"content-type", b"application/json")]
_CORS: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
]
_MAX_VERSION = 2**63 - 1
# A model ends by itself when its time is up, and a batching queue refuses what waited too long when
# it comes to it. What does neither in this time is left behind.
_GRACE_S = 5.0


@dataclass(frozen=True)
class RestOptions:
    """The flags for REST.

    Args:
        timeout_s: seconds a model may take to answer; None for no limit.
        cors: whether other sites' pages may use the answers.
        metrics_path: where the metrics page is; "" for none.
        max_body_bytes: the largest body.
        max_bodies_bytes: the most of all bodies that are being read or answered.
    """

    timeout_s: float | None = 30.0
    cors: bool = False
    metrics_path: str = ""
    max_body_bytes: int = 24 * 2**20
    max_bodies_bytes: int = 256 * 2**20


def make_app(
    predictions: PredictionService,
    statuses: ModelService,
    options: RestOptions,
    metrics: Metrics,
    page: App | None = None,
    tracing: Tracing | None = None,
    budget: Budget | None = None,
) -> App:
    """The ASGI app of a server's REST port.

    Args:
        predictions: the PredictionService.
        statuses: the ModelService.
        options: the flags.
        metrics: counts requests, and is shown at `options.metrics_path`.
        page: an ASGI app for all paths but these, or None.
        tracing: makes spans of the requests that run a model.
        budget: the memory for bodies.
    """
    api = RestApi(predictions, statuses, budget)
    return _RestApp(api, options, metrics, page, tracing or Tracing()).answer


class _RestApp:
    def __init__(
        self,
        api: RestApi,
        options: RestOptions,
        metrics: Metrics,
        page: App | None,
        tracing: Tracing,
    ) -> None:
        self._api = api
        self._options = options
        self._metrics = metrics
        self._page = page
        self._tracing = tracing
        self._room = Room(options.max_body_bytes, options.max_bodies_bytes)

    async def answer(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        target = f"{path}?{query}" if query else path
        headers = dict(reversed(scope["headers"]))  # of several of one name, the first counts
        valid = method in _METHODS and _URI.fullmatch(target)
        is_metrics = path == self._options.metrics_path
        is_api = _API.fullmatch(target)
        if valid and self._page and not is_metrics and not is_api:
            await self._page(scope, receive, send)
            return
        with self._room.for_a_body() as room:
            try:
                body = await room.read(receive, headers)
            except TooLargeError:
                await _send_error(send, 413, "Request Entity Too Large")
                return
            except NoRoomError:
                await _send_error(send, 429)
                return
            if body is None:
                return
            try:
                await self._answer(method, target, headers, body, send)
            except asyncio.CancelledError:  # the server's time to drain is over
                await _send_error(send, 503)

    async def _answer(
        self, method: str, target: str, headers: dict[bytes, bytes], body: bytes, send: Send
    ) -> None:
        path = target.partition("?")[0]
        is_metrics = path == self._options.metrics_path
        is_api = _API.fullmatch(target)
        if method not in _METHODS:
            await _send_error(send, 501)
        elif not _URI.fullmatch(target):
            await _send_error(send, 400)
        elif body and headers.get(b"expect", b"100-continue").lower() != b"100-continue":
            await _send_error(send, 417)
        elif is_metrics:
            await self._answer_metrics(path, target, send)
        elif not is_api:
            await _send_error(send, 404)
        elif method == "OPTIONS":
            await self._answer_options(headers, send)
        else:
            await self._answer_api(method, target, headers, body, send)

    async def _answer_metrics(self, path: str, target: str, send: Send) -> None:
        if target == path:
            status, body = 200, self._metrics.render()
        else:
            status, body = 400, f"Unexpected path: {target}. Should be {path}".encode()
        await _send(send, status, [(b"content-type", b"text/plain")], body)

    async def _answer_options(self, headers: dict[bytes, bytes], send: Send) -> None:
        started = time.monotonic()
        allowed = _ORIGIN.search(headers.get(b"origin", b""))
        code = grpc.StatusCode.OK if allowed else grpc.StatusCode.FAILED_PRECONDITION
        self._count("", "", code, started)
        content_type = [(b"content-type", b"text/html; charset=ISO-8859-1")]
        await _send(send, _http_status(code), content_type + self._cors(), b"")

    async def _answer_api(
        self, method: str, target: str, headers: dict[bytes, bytes], body: bytes, send: Send
    ) -> None:
        started = time.monotonic()
        route = paths.parse(method, target)
        api = ""
        if route.version is not None and route.version > _MAX_VERSION:
            # TF Serving answers before it has made the JSON of this error.
            reply = Reply(grpc.StatusCode.INVALID_ARGUMENT, b"")
        elif not route.action:
            text = f"Malformed request: {method} {target}"
            reply = Reply(grpc.StatusCode.INVALID_ARGUMENT, json_writer.error_body(text))
        elif method == "POST":
            api = route.action
            gzipped = b"gzip" in headers.get(b"content-encoding", b"")
            with self._tracing.request(f"{method} {api}", _as_text(headers)) as traced:
                reply = await self._run(route, body, gzipped)
                traced.answered(reply.code.name)
        else:
            # Takes no time, and so answers also when all threads are busy running models.
            reply = self._api.get(route)
        self._count(route.model, api, reply.code, started)
        await _send(send, _http_status(reply.code), _JSON + self._cors(), reply.body)

    async def _run(self, route: paths.Route, body: bytes, gzipped: bool) -> Reply:
        """Runs a model in a thread; one that is stuck goes on without its caller."""
        timeout_s = self._options.timeout_s
        deadline = RunDeadline(timeout_s)
        # The thread answers in this task's context: there the request's span is.
        post = partial(copy_context().run, self._api.post, route, body, gzipped, deadline)
        run = asyncio.get_running_loop().run_in_executor(None, post)
        wait_s = timeout_s
        while not (await asyncio.wait([run], timeout=wait_s))[0]:
            if deadline.at is None:  # the model is not asked yet: no time has passed
                continue
            wait_s = deadline.at + _GRACE_S - time.monotonic()
            if wait_s <= 0:
                text = "Timed out waiting for notification"
                return Reply(grpc.StatusCode.DEADLINE_EXCEEDED, json_writer.error_body(text))
        return run.result()

    def _cors(self) -> Headers:
        return _CORS if self._options.cors else []

    def _count(self, model: str, api: str, code: grpc.StatusCode, started: float) -> None:
        self._metrics.request_ended(model, code.name)
        if code is grpc.StatusCode.OK:
            self._metrics.request_latency(model, api, "REST", time.monotonic() - started)


def _as_text(headers: dict[bytes, bytes]) -> Iterator[tuple[str, str]]:
    return ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.items())


def _http_status(code: grpc.StatusCode) -> int:
    return _HTTP_STATUSES.get(code, 500)


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _send_error(send: Send, status: int, phrase: str = "") -> None:
    headers = [(b"content-type", b"text/html"), (b"connection", b"close")]
    await _send(send, status, headers, error_page(status, phrase or HTTPStatus(status).phrase))


def error_page(status: int, phrase: str) -> bytes:
    """libevent's error page, after which it closes the connection."""
    return (
        f"<HTML><HEAD>\n<TITLE>{status} {phrase}</TITLE>\n</HEAD><BODY>\n<H1>{phrase}</H1>\n"
        "</BODY></HTML>\n"
    ).encode()
