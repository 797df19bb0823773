"""Tokens: how a file holds them, and where a client sends one."""

import http.server
import threading
from pathlib import Path

import pytest

from signs.client import AsyncClient, Client, ClientError
from signs.transports.token import TokenError, authorization, read_tokens
from signs.transports.transport import Tls

TOKEN = "0123456789abcdef"
RULE = "a token has 16 or more of the characters A-Z a-z 0-9 - . _ ~ + /."


def test_a_file_of_tokens(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"\n# {TOKEN}\n  {TOKEN}A==\t\r\n{TOKEN}-._~+/\n")
    assert read_tokens(file) == (f"{TOKEN}A==", f"{TOKEN}-._~+/")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, ": No such file or directory."),
        (b"", " holds no token: write one in a line of its own."),
        (b"# one\n\n", " holds no token: write one in a line of its own."),
        (TOKEN.encode() + b"\nshort\n", f", line 2: {RULE}"),
        (b"0123456789 abcdef", f", line 1: {RULE}"),
        (b"Bearer 0123456789abcdef", f", line 1: {RULE}"),
        (b"====================", f", line 1: {RULE}"),
        (b"0123456789abcd\xe9f", f": {RULE}"),
    ],
)
def test_files_without_tokens(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TokenError) as caught:
        read_tokens(file)
    assert str(caught.value) == f"{file}{reason}"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1:8500", "localhost:8500", "[::1]:8500", "unix:/run/signs", "x.localhost:1"),
        *("http://127.0.0.1:8501", "http://localhost", "https://models.example/behind"),
    ],
)
def test_where_a_token_goes(address: str, kind: type) -> None:
    kind(address, token=TOKEN)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "address",
    [
        *("models.example:8500", "192.168.1.7:8500", "[fd00::2]:8500", "0.0.0.0:8500"),
        *("localhost.evil.example:1", "127.0.0.1.evil.example:1", "http://models.example"),
        *("http://evil.example/localhost", "http://localhost@evil.example", "ipv4:127.0.0.1:1"),
        *("dns://evil.example/a.localhost:80", "dns://127.0.0.1:53/evil.example:80"),
    ],
)
def test_to_other_machines_none_goes_in_plain_text(address: str, kind: type) -> None:
    with pytest.raises(ClientError) as caught:
        kind(address, token=TOKEN)
    assert str(caught.value) == (
        f"A token for {address} would go there without encryption, for everybody on the way to "
        "read: use TLS (`tls` or https:; --ca), or say that it may (`plain_token`, --plain-token)."
    )
    kind(address, token=TOKEN, plain_token=True)
    if not address.startswith("http"):
        kind(address, token=TOKEN, tls=Tls())


def test_one_address_of_several_is_enough_to_give_it_away() -> None:
    def may_go(address: str, *, encrypted: bool = False) -> bool:
        try:
            return bool(authorization(TOKEN, address, encrypted=encrypted, plain=False))
        except ClientError:
            return False

    assert may_go("127.0.0.1:1,localhost:2, https://models.example")
    assert may_go("one.example:1,two.example:2", encrypted=True)
    assert not may_go("127.0.0.1:1,models.example:2")
    assert not may_go("https://models.example,http://models.example")
    assert not may_go("https://models.example,http://models.example", encrypted=True)


@pytest.mark.parametrize("token", ["", "short", "0123456789 abcdef", TOKEN + "\n", TOKEN + "\x00"])
def test_what_is_no_token_is_not_sent_and_not_told(token: str) -> None:
    with pytest.raises(ClientError) as caught:
        Client("127.0.0.1:8500", token=token)
    assert str(caught.value) == f"`token`: {RULE}"


def test_a_token_does_not_follow_a_redirect() -> None:
    asked: list[tuple[str, str | None]] = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["authorization"]))
            self.send_response(307)
            self.send_header("location", f"http://127.0.0.1:{self.server.server_port}/other")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            place = f"http://localhost:{server.server_port}"
            with Client(place, token=TOKEN) as client, pytest.raises(ClientError):
                client.status()
        finally:
            server.shutdown()
    assert ("/v1/models/signs", f"Bearer {TOKEN}") in asked
    assert [path for path, _ in asked if path == "/other"] == []
