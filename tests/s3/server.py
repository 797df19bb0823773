"""Versity's S3 gateway, on loopback: a program of others, which keeps objects as files.

A bucket is a folder, an object the file of its key. It checks signatures, and what it has answered
for is there after a SIGKILL.
"""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from model_server.process import free_port
from tests.golang import build

if TYPE_CHECKING:
    from pyarrow import fs

_PROGRAM = "github.com/versity/versitygw/cmd/versitygw"
_START_S = 60.0


class S3Server:
    """Serves while it is entered.

    Args:
        program: the gateway's.
        folder: an empty folder for buckets and the log.
        region: that clients must sign for.
    """

    def __init__(self, program: Path, folder: Path, region: str = "us-east-1") -> None:
        self._program, self._log = program, folder / "log"
        self.buckets = folder / "buckets"
        self.buckets.mkdir(parents=True)
        self.region = region
        self.access_key, self.secret_key = secrets.token_hex(10), secrets.token_hex(20)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What Amazon's own programs need to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
        }

    def client(self) -> "fs.S3FileSystem":
        """PyArrow's client, with the right keys."""
        from pyarrow import fs

        return fs.S3FileSystem(
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=self.region,
            scheme="http",
            endpoint_override=f"127.0.0.1:{self.port}",
        )

    def start(self) -> None:
        """Starts it, also again, with the objects that it has."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program, "--port", f"127.0.0.1:{self.port}", "--region", self.region,
                    "posix", self.buckets,
                ],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={
                    **os.environ,
                    "ROOT_ACCESS_KEY": self.access_key,
                    "ROOT_SECRET_KEY": self.secret_key,
                },
            )  # fmt: skip
        end = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                ended = self._process.poll() is not None
                assert not ended and time.monotonic() < end, self._log.read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """Ends it with SIGKILL, whatever it is at."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "S3Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def build_server(folder: Path) -> Path:
    """The gateway's program in a folder; skips the test where it cannot be had."""
    build(Path(__file__).parent, folder, _PROGRAM)
    return folder / "versitygw"


@pytest.fixture(scope="session")
def s3_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gateway, built."""
    return build_server(tmp_path_factory.mktemp("s3-program"))


@pytest.fixture
def s3(s3_program: Path, tmp_path: Path) -> Iterator[S3Server]:
    """A server with the empty bucket `bucket`."""
    with S3Server(s3_program, tmp_path / "s3") as server:
        (server.buckets / "bucket").mkdir()
        yield server
