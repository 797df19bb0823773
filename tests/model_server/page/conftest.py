"""The page beside a REST API that a test can put into any state, in a real headless browser."""

import asyncio
import base64
import io
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from model_server.page.app import make_page

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    "--host-resolver-rules=MAP *.example 127.0.0.1",  # names that are no loopback's to the browser
]


def png(red: int, green: int, blue: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """A picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (red, green, blue)).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class FakeRest:
    """Answers the paths that the page asks, as TF Serving does.

    The class of a picture is the brightest of red, green and blue in its upper left corner.
    """

    versions: list[tuple[int, str]] = field(default_factory=lambda: [(2, "END"), (3, "AVAILABLE")])
    probability: float = 0.9
    more: dict[str, Any] = field(  # that a model of an earlier release does not answer
        default_factory=lambda: {"classes": [*"012345"], "confidence": 0.95, "known": True}
    )
    failure: tuple[int, str] | None = None  # HTTP's code and the message, of every :predict
    pause_s: float = 0.0
    paths: list[str] = field(default_factory=list)
    pictures: list[Image.Image] = field(default_factory=list)

    def status(self) -> tuple[int, Any]:
        if not self.versions:
            return 404, {"error": "Could not find any versions of model signs"}
        return 200, {
            "model_version_status": [
                {
                    "version": str(version),
                    "state": state,
                    "status": {"error_code": "OK", "error_message": ""},
                }
                for version, state in self.versions
            ]
        }

    def predict(self, version: int, body: bytes) -> tuple[int, Any]:
        if (version, "AVAILABLE") not in self.versions:
            return 404, {"error": f"Servable not found for request: Specific(signs, {version})"}
        if self.failure:
            return self.failure[0], {"error": self.failure[1]}
        request = json.loads(body)
        assert request["signature_name"] == "serve_images"
        (instance,) = request["instances"]
        picture = Image.open(io.BytesIO(base64.b64decode(instance["image_bytes"]["b64"])))
        picture.load()
        self.pictures.append(picture)
        class_id = int(np.argmax(picture.convert("RGB").getpixel((0, 0))))
        probabilities = [(1 - self.probability) / 5] * 6
        probabilities[class_id] = self.probability
        return 200, {
            "predictions": [
                {
                    "probabilities": probabilities,
                    "class_id": class_id,
                    "class_name": str(class_id),
                    **self.more,
                }
            ]
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        await asyncio.sleep(self.pause_s)
        path = scope["path"]
        if path == "/v1/models/signs":
            status, answer = self.status()
        elif path.startswith("/v1/models/signs/versions/") and path.endswith(":predict"):
            status, answer = self.predict(int(path.split("/")[-1].split(":")[0]), body)
        else:
            status, answer = 400, {"error": f"Malformed request: {scope['method']} {path}"}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


class Site:
    """A page at `url`, with its REST API."""

    def __init__(self, examples: Path) -> None:
        self.rest = FakeRest()
        self.url = ""
        self._page = make_page("signs", examples)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.rest.paths.append(scope["path"])
        api = scope["path"].startswith("/v1/")
        await (self.rest if api else self._page)(scope, receive, send)


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name, colour in (("0", (200, 0, 0)), ("1", (0, 200, 0)), ("2", (0, 0, 200))):
        (folder / f"{name}.png").write_bytes(png(*colour))
    return folder


@pytest.fixture
def site(examples: Path) -> Iterator[Site]:
    """The site as it is on a good day.

    Each test has a server of its own: what one still asked while it ended, another would be told.
    """
    site = Site(examples)
    config = uvicorn.Config(site, port=0, lifespan="off", log_level="error", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    site.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    yield site
    server.should_exit = server.force_exit = True
    thread.join(30)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium: install Debian's package of that name")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """The page, open; in the end it must have asked no other server, and logged no error."""
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 1200, "height": 800})
    context.set_default_timeout(15_000)
    opened = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(site.url)
    yield opened
    context.close()
    foreign = [url for url in asked if not url.startswith((site.url, f"blob:{site.url}"))]
    assert foreign == []
    assert errors == []
