"""The app, asked in this process: no sockets."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from model_server.rest.app import App, RestOptions, make_app
from tests.model_server.rest.core import Core


@dataclass(frozen=True)
class Answer:
    """What the app sent."""

    status: int
    headers: dict[str, str]
    body: str


class Client:
    """Sends requests to an ASGI app."""

    def __init__(self, app: App, runner: asyncio.Runner) -> None:
        self._app = app
        self._runner = runner

    def ask(self, method: str, target: str, body: bytes | str = b"", **headers: str) -> Answer:
        """One request; `content_encoding="gzip"` sends that header."""
        return self._runner.run(self.asked(method, target, body, **headers))

    def post(self, action: str, body: bytes | str, **headers: str) -> Answer:
        """POST /v1/models/`action`."""
        return self.ask("POST", f"/v1/models/{action}", body, **headers)

    async def asked(
        self, method: str, target: str, body: bytes | str = b"", **headers: str
    ) -> Answer:
        """As `ask`, for those who ask several things at a time."""
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "raw_path": path.encode("latin-1"),
            "path": path,
            "query_string": query.encode("latin-1"),
            "headers": [
                (name.replace("_", "-").encode(), value.encode("latin-1"))
                for name, value in headers.items()
            ],
        }
        content = body.encode() if isinstance(body, str) else body
        half = len(content) // 2
        incoming = [
            {"type": "http.request", "body": content[:half], "more_body": True},
            {"type": "http.request", "body": content[half:]},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return incoming.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        start, end = sent
        received = {name.decode(): value.decode() for name, value in start["headers"]}
        assert received.pop("content-length") == str(len(end["body"]))
        return Answer(start["status"], received, end["body"].decode("utf-8", "surrogateescape"))


@pytest.fixture(scope="package")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """One model for all tests."""
    core = Core(tmp_path_factory.mktemp("models"))
    yield core
    core.close()


@pytest.fixture(scope="package")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all tests."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="package")
def make_client(core: Core, runner: asyncio.Runner) -> Callable[..., Client]:
    """A client of an app with these options."""

    def make(page: App | None = None, **options: Any) -> Client:
        app = make_app(core.predictions, core.statuses, RestOptions(**options), core.metrics, page)
        return Client(app, runner)

    return make


@pytest.fixture(scope="package")
def client(make_client: Callable[..., Client]) -> Client:
    """A client of an app with the options of a server started without flags."""
    return make_client()
