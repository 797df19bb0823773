"""What KFP's driver and launcher ask by HTTP, on loopback: Kubernetes's API and an object store.

Kubernetes answers for config maps, secrets and pods only. The store speaks as much of S3 as the
launcher's client does (gocloud.dev/blob/s3blob): objects are files `<folder>/<bucket>/<key>`, and
where there is no file there is nothing, as in a bucket.
"""

import hashlib
import json
import ssl
import subprocess
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar
from xml.sax.saxutils import escape


class _Service:
    """An HTTP server that serves while it is entered."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
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


class ObjectStore(_Service):
    """An S3 store whose buckets are folders."""

    def __init__(self, folder: Path) -> None:
        class Handler(_S3Handler):
            root = folder

        super().__init__(Handler)


class _S3Handler(_Handler):
    root: ClassVar[Path]
    uploads: ClassVar[dict[str, dict[int, bytes]]] = {}

    def _file(self) -> Path:
        return self.root / urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).strip("/")

    def _query(self) -> dict[str, str]:
        query = urllib.parse.urlsplit(self.path).query
        return dict(urllib.parse.parse_qsl(query, keep_blank_values=True))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        query, file = self._query(), self._file()
        if "list-type" in query:
            self._list(query.get("prefix", ""))
        elif file.is_file():
            body = file.read_bytes()
            self.answer(200, body, ETag=_tag(body), Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")
        else:
            self._error(404, "NoSuchKey")

    def do_PUT(self) -> None:
        body, query = self.body(), self._query()
        if "uploadId" in query:
            self.uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self._store(body)
        self.answer(200, ETag=_tag(body))

    def do_POST(self) -> None:
        query = self._query()
        self.body()
        if "uploads" in query:
            upload = str(len(self.uploads))
            self.uploads[upload] = {}
            self._xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
        else:
            parts = self.uploads.pop(query["uploadId"])
            body = b"".join(parts[number] for number in sorted(parts))
            self._store(body)
            self._xml("CompleteMultipartUploadResult", f"<ETag>{escape(_tag(body))}</ETag>")

    def _store(self, body: bytes) -> None:
        self._file().parent.mkdir(parents=True, exist_ok=True)
        self._file().write_bytes(body)

    def _list(self, prefix: str) -> None:
        bucket = self._file()
        keys = sorted(str(file.relative_to(bucket)) for file in bucket.rglob("*") if file.is_file())
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{(bucket / key).stat().st_size}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys
            if key.startswith(prefix)
        )
        self._xml("ListBucketResult", f"<IsTruncated>false</IsTruncated>{entries}")

    def _xml(self, name: str, content: str) -> None:
        body = f"<?xml version='1.0' encoding='UTF-8'?><{name}>{content}</{name}>"
        self.answer(200, body.encode(), Content_Type="application/xml")

    def _error(self, status: int, code: str) -> None:
        body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>"
        self.answer(status, body.encode(), Content_Type="application/xml")


def _tag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
