"""What a port speaks: ports that speak each thing, and what a client of each kind is told."""

import asyncio
import contextlib
import http.server
import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from signs.client import AsyncClient, Client, ClientError
from signs.transports.probe import Place, place_of, what_it_speaks
from tests.model_server.authority import Authority
from tests.served import RED


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The files of a server's key and certificate, and of who vouches for it."""
    folder = tmp_path_factory.mktemp("certificate")
    authority = Authority("authority")
    files = folder / "key.pem", folder / "certificate.pem", folder / "ca.pem"
    for file, text in zip(files, (*authority.issue("server"), authority.pem), strict=True):
        file.write_text(text)
    return files


@contextlib.contextmanager
def talking(first_words: bytes, *, hangs_up: bool = False) -> Iterator[int]:
    """A port that greets, and listens for ever; or hangs up."""
    over = threading.Event()
    taken: list[socket.socket] = []

    def talk() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                taken.append(connection)
                connection.sendall(first_words)
                if hangs_up:
                    connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=talk)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        thread.join()
    for connection in taken:
        connection.close()


@contextlib.contextmanager
def polite() -> Iterator[int]:
    """A port that speaks HTTP/2 to who does, as Go's servers: it says nothing before."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(100).startswith(b"PRI * HTTP/2.0"):
                self.request.sendall(b"\0\0\0\x04\0\0\0\0\0")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def web(status: int, body: bytes, tls: tuple[Path, Path, Path] | None = None) -> Iterator[int]:
    """A server of HTTP/1.1."""

    class Handler(http.server.BaseHTTPRequestHandler):
        server_version, sys_version = "nginx/1.2", ""

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls[1], tls[0])
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def grpc_api(tls: tuple[Path, Path, Path] | None = None) -> Iterator[int]:
    """A server of gRPC that has no service."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    if tls is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = tls[0].read_bytes(), tls[1].read_bytes()
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    yield port
    server.stop(None).wait()


UNKNOWN = json.dumps({"error": "Servable not found"}).encode()
SSH = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"


@pytest.mark.parametrize(
    ("port", "of_grpc", "of_grpc_tls", "of_http", "of_https"),
    [
        pytest.param(
            lambda tls: web(404, UNKNOWN),
            "speaks REST, not gRPC: use http://AT.",
            "speaks REST without TLS, not gRPC: use http://AT.",
            None,
            "speaks REST without TLS: use http://AT.",
            id="REST",
        ),
        pytest.param(
            lambda tls: web(200, b'{"model_version_status": []}', tls),
            "speaks REST with TLS, not gRPC: use https://AT.",
            "speaks REST, not gRPC: use https://AT.",
            "speaks REST with TLS: use https://AT.",
            None,
            id="REST with TLS",
        ),
        pytest.param(
            lambda tls: grpc_api(),
            None,
            "speaks gRPC without TLS: name no certificates (--ca, --cert, --key).",
            "speaks gRPC, not REST: use AT.",
            "speaks gRPC without TLS, not REST: use AT, and name no certificates (--ca, --cert, "
            "--key).",
            id="gRPC",
        ),
        pytest.param(
            grpc_api,
            "speaks gRPC with TLS: name whom to trust (--ca FILE).",
            None,
            "speaks gRPC with TLS, not REST: use AT, and name whom to trust (--ca FILE).",
            "speaks gRPC, not REST: use AT, and name whom to trust (--ca FILE).",
            id="gRPC with TLS",
        ),
        pytest.param(
            lambda tls: web(404, b"<html>"),
            *["is a web server (nginx/1.2), and no model server."] * 4,
            id="web server",
        ),
        pytest.param(
            lambda tls: web(200, b"<html>", tls),
            *["is a web server (nginx/1.2), and no model server."] * 4,
            id="web server with TLS",
        ),
        pytest.param(
            lambda tls: talking(SSH),
            *['is no model server: it says "SSH-2.0-OpenSSH_9.2p1 Debian-2".'] * 4,
            id="SSH",
        ),
        pytest.param(
            lambda tls: talking(b""),
            *[
                "takes connections and says nothing: it hangs, or waits for what is neither gRPC "
                "nor REST."
            ]
            * 4,
            id="hangs",
        ),
        pytest.param(
            lambda tls: talking(b"\x00\xff\x13\x37", hangs_up=True),
            *[
                "takes connections and says nothing: it hangs, or waits for what is neither gRPC "
                "nor REST."
            ]
            * 4,
            id="neither",
        ),
    ],
)
def test_what_a_port_speaks(
    port: Callable[[tuple[Path, Path, Path]], contextlib.AbstractContextManager[int]],
    of_grpc: str | None,
    of_grpc_tls: str | None,
    of_http: str | None,
    of_https: str | None,
    certificate: tuple[Path, Path, Path],
) -> None:
    with port(certificate) as number:
        at = f"127.0.0.1:{number}"
        for address, is_encrypted, told in (
            (at, False, of_grpc),
            (at, True, of_grpc_tls),
            (f"http://{at}", False, of_http),
            (f"https://{at}", False, of_https),
        ):
            begun = time.monotonic()
            found = what_it_speaks(place_of(address, is_encrypted=is_encrypted))
            assert found == (told and f"{at} {told.replace('AT', at)}"), address
            assert time.monotonic() - begun < 4


def test_a_server_of_http_2_that_waits_for_the_client() -> None:
    with polite() as port:
        found = what_it_speaks(place_of(f"http://127.0.0.1:{port}", is_encrypted=False))
    assert found == f"127.0.0.1:{port} speaks gRPC, not REST: use 127.0.0.1:{port}."


def test_nobody_there_says_nothing() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        assert what_it_speaks(place_of(address, is_encrypted=False)) is None
    assert what_it_speaks(None) is None


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("box:8500", Place("box", 8500, "", False, False)),
        ("[::1]:8500", Place("::1", 8500, "", False, False)),
        ("http://box:8501/a/b/", Place("box", 8501, "/a/b", True, False)),
        ("http://box", Place("box", 80, "", True, False)),
        ("https://[::1]", Place("::1", 443, "", True, True)),
        ("unix:/run/server:1", None),
        ("box", None),
    ],
)
def test_places(address: str, place: Place | None) -> None:
    assert place_of(address, is_encrypted=False) == place


def test_both_clients_are_told() -> None:
    async def ask(address: str) -> None:
        async with AsyncClient(address, timeout_s=3, max_attempts=2) as client:
            await client.predict(RED)

    with web(404, UNKNOWN) as rest, grpc_api() as grpc_port, talking(SSH) as ssh:
        for address, told in (
            (f"127.0.0.1:{rest}", f"speaks REST, not gRPC: use http://127.0.0.1:{rest}."),
            (
                f"http://127.0.0.1:{grpc_port}",
                f"speaks gRPC, not REST: use 127.0.0.1:{grpc_port}.",
            ),
            (f"127.0.0.1:{ssh}", "is no model server: it says"),
            (f"http://127.0.0.1:{ssh}", "is no model server: it says"),
        ):
            with (
                Client(address, timeout_s=3, max_attempts=2) as client,
                pytest.raises(ClientError, match=told) as caught,
            ):
                client.predict(RED)
            assert isinstance(caught.value.code, grpc.StatusCode)
            with pytest.raises(ClientError, match=told):
                asyncio.run(ask(address))
