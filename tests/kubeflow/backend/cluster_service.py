"""Kubernetes's API on loopback, as far as KFP's driver and launcher ask it.

It answers for config maps, secrets and pods only.
"""

import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Service:
    """An HTTP server that serves while it is entered."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the callers' logs do."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


class KubernetesService(_Service):
    """Kubernetes's API over TLS.

    Args:
        folder: for the certificate; `folder / "ca.crt"` is what a client must trust.
        objects: `configmaps/NAME` or `secrets/NAME` -> what its `data` says.
    """

    def __init__(self, folder: Path, objects: dict[str, dict[str, str]]) -> None:
        class Handler(_Handler):
            def do_GET(self) -> None:
                name = "/".join(self.path.split("?")[0].split("/")[-2:])
                if name in objects:
                    status = 200
                    answer: dict[str, Any] = {"metadata": {"name": name.split("/")[1]}}
                    answer["data"] = objects[name]
                else:
                    status = 404
                    answer = {"kind": "Status", "apiVersion": "v1", "reason": "NotFound"}
                    answer |= {"code": status, "message": f"{name} not found"}
                self.answer(status, json.dumps(answer).encode(), Content_Type="application/json")

        super().__init__(Handler)
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-days", "2", "-subj", "/CN=kubernetes", "-addext",
                "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key", "-out", folder / "ca.crt",
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "ca.crt", folder / "key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
