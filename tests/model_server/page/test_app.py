"""The page's files over ASGI, without a browser."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from model_server import page
from model_server.page.app import make_page

POLICY = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def ask(
    app: Any, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Returns status, headers and body."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("no body is read")

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
    }
    asyncio.run(app(scope, receive, send))
    start, body = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], told, body["body"]


@pytest.fixture
def app(tmp_path: Path) -> Any:
    (tmp_path / "no%20hand.jpg").write_bytes(b"jpeg")
    (tmp_path / "%3Cb%3E.png").write_bytes(b"png")
    return make_page('<script>"me"', tmp_path)


@pytest.mark.parametrize(
    ("path", "kind", "begins"),
    [
        ("/", "text/html; charset=utf-8", b"<!doctype html>"),
        ("/page/style.css", "text/css; charset=utf-8", b":root {"),
        ("/page/page.js", "text/javascript; charset=utf-8", b"// The page:"),
        ("/page/model.js", "text/javascript; charset=utf-8", b"// The model server's REST API"),
        ("/page/picture.js", "text/javascript; charset=utf-8", b"// A file of any format"),
        ("/page/camera.js", "text/javascript; charset=utf-8", b"// The camera"),
        ("/page/icon.svg", "image/svg+xml", b"<svg"),
        ("/page/examples/0", "image/png", b"png"),
        ("/page/examples/1", "image/jpeg", b"jpeg"),
    ],
)
def test_files(app: Any, path: str, kind: str, begins: bytes) -> None:
    status, headers, body = ask(app, path)
    assert (status, headers["content-type"]) == (200, kind)
    assert body.startswith(begins)
    assert headers["content-length"] == str(len(body))
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["permissions-policy"] == "camera=(self), microphone=(), geolocation=()"
    assert headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/index.html",
            "/page",
            "/page/",
            "/page/examples/2",
            "/page/examples/-1",
            "/favicon.ico",
        ),
        *("/page/index.html", "/page/app.py", "/page/../app.py", "/page/%2e%2e/app.py"),
        *(
            "/page//etc/passwd",
            "//",
            "",
            "/page/style.css/",
            "/page/style.css\0",
            "/PAGE/style.css",
        ),
    ],
)
def test_nothing_else(app: Any, path: str) -> None:
    status, headers, body = ask(app, path)
    assert (status, body) == (404, b"Not found\n")
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["content-security-policy"] == POLICY


def test_names_are_escaped(app: Any) -> None:
    index = ask(app, "/")[2].decode()
    assert '<meta name="model" content="&lt;script&gt;&quot;me&quot;">' in index
    assert '<img src="page/examples/0" alt="Example of &lt;b&gt;">' in index
    assert '<img src="page/examples/1" alt="Example of no hand">' in index
    assert "<script>" not in index


def test_without_examples() -> None:
    assert b"<ul></ul>" in ask(make_page("signs"), "/")[2]


def test_examples_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_page("signs", tmp_path / "nowhere")


def test_a_copy_that_is_still_the_newest_is_not_sent_again(app: Any) -> None:
    _, headers, body = ask(app, "/page/page.js")
    etag = headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        status, headers, again = ask(app, "/page/page.js", headers={"if-none-match": known})
        assert (status, headers["etag"], again) == (304, etag, b"")
        assert "content-length" not in headers
    for unknown in ('"other"', "", "\xff"):
        assert ask(app, "/page/page.js", headers={"if-none-match": unknown})[::2] == (200, body)


def test_head_is_get_without_the_body(app: Any) -> None:
    status, headers, body = ask(app, "/")
    assert ask(app, "/", "HEAD") == (status, headers, b"")
    assert body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"])
def test_other_methods(app: Any, method: str) -> None:
    status, headers, body = ask(app, "/", method)
    assert (status, headers["allow"], body) == (405, "GET, HEAD", b"Method not allowed\n")


def test_no_file_names_another_server() -> None:
    folder = Path(page.__path__[0])
    for path in (folder / "index.html", *(folder / "static").iterdir()):
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"""\w://|["'(]//""", text), path
