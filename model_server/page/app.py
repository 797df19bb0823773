"""The web page as an ASGI app: a few files, read once, and nothing that a request can steer.

    GET /                    index.html with the model's name and the examples filled in
    GET /page/...            style, scripts, icon
    GET /page/examples/N     the N-th example image

In the browser the page asks the public REST API (`/v1/models/...`) and nothing else, so it would
work beside TF Serving too. Its security policy keeps it from asking any other server.
"""

import hashlib
import html
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from urllib.parse import unquote

from model_server.asgi import App, Message, Receive, Send

# By suffix, because the types that the system knows differ from machine to machine.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    # Pictures that the user chose are blobs of the browser.
    "content-security-policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    # The browser asks each time whether its copy is still the newest, and gets 304 if it is.
    "cache-control": "no-cache",
}


@dataclass(frozen=True)
class _File:
    """What is answered for a path."""

    type: str
    body: bytes

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


def make_page(model_name: str, examples: Path | None = None) -> App:
    """Builds the app.

    Args:
        model_name: the model that the page asks for.
        examples: folder of images for visitors without one of their own; each file is named by its
            class, percent-encoded as `urllib.parse.quote` does it. None: no examples are offered.

    Raises:
        OSError: `examples` cannot be read.
    """
    files = dict(_files(model_name, sorted(examples.iterdir()) if examples else []))

    async def page(scope: Message, receive: Receive, send: Send) -> None:
        status, headers, body = _answer(files, scope)
        sent = {**_HEADERS, **headers}
        if status != 304:  # there it would have to be the file's
            sent["content-length"] = str(len(body))
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            }
        )
        # To HEAD, the length is that of the body that GET would have brought.
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
        )

    return page


def _answer(files: dict[str, _File], scope: Message) -> tuple[int, dict[str, str], bytes]:
    plain = {"content-type": "text/plain; charset=utf-8"}
    if scope["method"] not in ("GET", "HEAD"):
        return 405, {**plain, "allow": "GET, HEAD"}, b"Method not allowed\n"
    file = files.get(scope["path"])
    if file is None:
        return 404, plain, b"Not found\n"
    known = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
    if file.etag in known:
        return 304, {"etag": file.etag}, b""
    return 200, {"content-type": file.type, "etag": file.etag}, file.body


def _files(model_name: str, examples: list[Path]) -> Iterator[tuple[str, _File]]:
    for resource in resources.files(__package__).joinpath("static").iterdir():
        yield (
            f"/page/{resource.name}",
            _File(_TYPES[Path(resource.name).suffix], resource.read_bytes()),
        )
    for number, path in enumerate(examples):
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        yield f"/page/examples/{number}", _File(kind, path.read_bytes())
    index = resources.files(__package__).joinpath("index.html").read_text("utf-8")
    filled = Template(index).substitute(
        model=html.escape(model_name),
        examples="\n".join(
            f'<li><button type="button"><img src="page/examples/{number}" '
            f'alt="Example of {html.escape(unquote(path.stem))}"></button></li>'
            for number, path in enumerate(examples)
        ),
    )
    yield "/", _File(_TYPES[".html"], filled.encode())
