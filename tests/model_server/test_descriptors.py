"""A server that may open 256 files, and those who open connections and say little or nothing."""

import contextlib
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent import futures
from pathlib import Path

import grpc
import pytest
import urllib3

from model_server import descriptors
from model_server.process import free_port
from signs import Client
from tests.model_server.stand_in import eventually
from tests.served import RED

FILES = 256
CROWD = 300
WAIT_S = 60


class Server:
    """`signs-model-server` as a process with few files."""

    def __init__(self, base_path: Path) -> None:
        self.port, self.rest_port = free_port(), free_port()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [
                *("sh", "-c", f'ulimit -n {FILES} && exec "$@"', "sh"),
                *(sys.executable, "-m", "model_server"),
                f"--port={self.port}",
                f"--rest_api_port={self.rest_port}",
                "--model_name=signs",
                f"--model_base_path={base_path}",
                "--rest_api_read_seconds=2",
                "--connection_idle_seconds=2",
                "--grpc_channel_arguments=grpc.server_handshake_timeout_ms=2000",
                "--exit_with_parent",
            ],
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
        )

    def answers(self) -> bool:
        """Whether it does over both APIs. Those who come to a full house are refused, and wait."""
        for address in (f"127.0.0.1:{self.port}", f"http://127.0.0.1:{self.rest_port}"):
            with Client(address, timeout_s=WAIT_S, max_attempts=100) as client:
                assert client.predict(RED)[0].class_name == "red"
        return self.process.poll() is None

    def told(self) -> str:
        """Its log so far."""
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), size, 0).decode()


@pytest.fixture(scope="module")
def server(saved_model: Path, tmp_path_factory: pytest.TempPathFactory):
    base_path = tmp_path_factory.mktemp("few_files")
    (base_path / "1").symlink_to(saved_model)
    server = Server(base_path)
    with Client(f"127.0.0.1:{server.port}") as client:
        client.wait_until_available(WAIT_S)
    yield server
    server.process.terminate()
    assert server.process.wait(WAIT_S) == 0
    # The limit, where it listens: a fault that repeats would fill pages.
    assert len(server.told().splitlines()) < 30


@pytest.fixture(autouse=True)
def close_all():
    with contextlib.ExitStack() as opened:
        yield opened


def crowd(opened: contextlib.ExitStack, port: int, words: bytes = b"") -> None:
    """Connections that say these words, and then no more."""
    for _ in range(CROWD):
        raw = opened.enter_context(socket.socket())
        raw.settimeout(WAIT_S)
        # Neither a refusal nor a hang-up makes the crowd smaller.
        with contextlib.suppress(ConnectionError):
            raw.connect(("127.0.0.1", port))
            raw.sendall(words)


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"GET /v1/models/signs HTTP/1.1\r\nHost: x\r\n",
        b"POST /v1/models/signs:predict HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{",
        b"GET /v1/models/signs HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["silent", "head", "body", "asked"],
)
def test_a_crowd_at_the_rest_port(server, close_all, words):
    crowd(close_all, server.rest_port, words)
    assert server.answers()


@pytest.mark.parametrize(
    "words", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_a_crowd_at_the_grpc_port(server, close_all, words):
    crowd(close_all, server.port, words)
    assert server.answers()


def test_idle_grpc_clients(server):
    with futures.ThreadPoolExecutor(CROWD) as pool:  # to close one takes a tenth of a second
        own = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.insecure_channel(f"127.0.0.1:{server.port}", own) for _ in range(CROWD)]
        try:
            for channel in channels:
                channel.subscribe(lambda state: None, try_to_connect=True)
            assert server.answers()
        finally:
            list(pool.map(lambda channel: channel.close(), channels))


def test_both_ports_and_what_the_log_says(server, close_all):
    crowd(close_all, server.rest_port)
    crowd(close_all, server.port)
    assert server.answers()
    assert re.search(
        rf"W This process may open {FILES} files \(ulimit -n\): each API takes \d+ connections at "
        "most\n",
        server.told(),
    )
    with urllib3.PoolManager() as http:
        assert http.request("GET", f"http://127.0.0.1:{server.rest_port}/v1/models/signs").json()


# --- In this process ------------------------------------------------------------------------------


def test_the_limit_is_raised():
    done = subprocess.run(
        [
            *("sh", "-c", 'ulimit -Sn 100 && exec "$@"', "sh", sys.executable, "-c"),
            "import resource; from model_server.descriptors import raise_limit; raise_limit(); "
            "print(*resource.getrlimit(resource.RLIMIT_NOFILE))",
        ],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
    )
    soft, hard = map(int, done.stdout.split())
    assert soft == min(hard, 2**16)


def test_files_that_run_out_are_told(monkeypatch, caplog):
    monkeypatch.setattr(descriptors, "_WATCH_EVERY_S", 0.01)
    stopping = threading.Event()
    watching = threading.Thread(target=descriptors.watch, args=[stopping])
    watching.start()
    with caplog.at_level(logging.WARNING):
        assert not caplog.records
        monkeypatch.setattr(descriptors, "_limit", lambda: 3)
        eventually(lambda: bool(caplog.records))
    stopping.set()
    watching.join()
    assert caplog.messages[0] == "Nearly all of the 3 files that may be open are (ulimit -n)"
