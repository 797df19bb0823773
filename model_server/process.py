"""A model server in a process of its own, for as long as a `with` block lasts.

    with ServerProcess("workspace/serving/signs") as server:
        Client(server.address).predict("photos/")

    with ServerProcess() as server:  # of no model yet
        server.launch()  # it imports TensorFlow, while this process does something else
        server.serve("workspace/serving/signs", "signs")
        Client(server.address).predict("photos/")

When this process ends, however it ends, the server stops: see `signs.process`.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import grpc

from signs import protos
from signs.client import Client, ClientError
from signs.errors import UserError

_LOG_TAIL_LINES = 20
_POLL_S = 0.5
_REASON = re.compile("^Failed to start server|Cannot listen at ")
_NO_MODELS = b"model_config_list {}\n"  # TF Serving starts with these, and refuses an empty file
# gRPC's own second between two tries to connect is longer than a model takes to answer.
_CHANNEL_OPTIONS = (("grpc.max_reconnect_backoff_ms", 200),)


class ServerProcessError(UserError):
    """The server did not start; the text ends with the tail of its log."""


class ServerProcess:
    """`signs-model-server` on one base path, listening on loopback.

    Args:
        base_path: the folder of version folders; None starts without a model: see `serve`.
        model_name: the name clients ask for.
        port: where to listen; 0 chooses a free port.
        start_timeout_s: seconds until the model must answer.
        stop_timeout_s: seconds for requests in flight when it stops; then it is killed.
        flags: further flags of the server.
    """

    def __init__(
        self,
        base_path: str | os.PathLike[str] | None = None,
        model_name: str = "signs",
        port: int = 0,
        *,
        start_timeout_s: float = 120.0,
        stop_timeout_s: float = 10.0,
        flags: Sequence[str] = (),
    ) -> None:
        self._base_path = None if base_path is None else Path(base_path).resolve()
        self._model_name = model_name
        self._last_name: str | None = None  # of what `serve` gave to the running process
        self._port = port
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._flags = tuple(flags)
        self._log: IO[bytes] | None = None
        self._no_models: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens, as in "127.0.0.1:8500"."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def __enter__(self) -> "ServerProcess":
        if self._base_path is not None:
            self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> int:
        """Starts the server and waits until the model answers.

        Returns:
            The version that is served.

        Raises:
            ServerProcessError: it ended, or did not answer in time.
        """
        self.launch()
        try:
            return self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        """Starts the process, if it is not, and waits for nothing."""
        if self._process is not None and self._process.poll() is None:
            return
        self._last_name = None
        self._port = self._port or free_port()
        if self._base_path is not None:
            models = [
                f"--model_name={self._model_name}",
                f"--model_base_path={self._base_path}",
            ]
        else:
            # It is read before the port opens, and is there until this object is gone.
            no_models = self._no_models = tempfile.NamedTemporaryFile()  # noqa: SIM115
            no_models.write(_NO_MODELS)
            no_models.flush()
            models = [f"--model_config_file={no_models.name}"]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it outlives the process, for log()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "model_server",
                f"--port={self._port}",
                *models,
                f"--drain_seconds={self._stop_timeout_s}",
                # Whoever starts a server this way waits for it: a model that fails is told at once.
                "--max_num_load_retries=0",
                "--exit_with_parent",
                *self._flags,
            ],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def serve(self, base_path: str | os.PathLike[str], model_name: str) -> int:
        """Gives a server that was started without a model one to serve, in the last one's place.

        Args:
            base_path: the folder of version folders.
            model_name: the name clients ask for; another than the last one's.

        Returns:
            The version that is served.

        Raises:
            ServerProcessError: the server ended or does not answer, or the model does not load.
            ValueError: the name is the last one's, whose versions the server would keep.
        """
        self.launch()
        if model_name == self._last_name:
            raise ValueError(
                f"model_name must be another than the last one's. Received: {model_name}"
            )
        self._last_name = model_name
        request = protos.ReloadConfigRequest()
        request.config.model_config_list.config.add(
            name=model_name,
            base_path=str(Path(base_path).resolve()),
            model_platform="tensorflow",
        )
        with grpc.insecure_channel(self.address, _CHANNEL_OPTIONS) as channel:
            self._wait_until_it_listens(channel)
            reload = protos.ModelServiceStub(channel).HandleReloadConfigRequest
            try:
                reload(request, timeout=self._start_timeout_s)
            except grpc.RpcError as error:
                raise ServerProcessError(
                    f"The model server does not serve {base_path}: {error.details()}"
                ) from error
        with Client(self.address, model_name=model_name) as client:
            return client.wait_until_available(self._start_timeout_s)

    def stop(self) -> int | None:
        """Ends the server: requests in flight are answered, then it is killed if need be.

        Returns:
            Its exit code (negative: the signal that ended it); None if it was never started.
        """
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(self._stop_timeout_s + 5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdin is not None:
            process.stdin.close()
        return process.returncode

    def log(self) -> str:
        """What the server has printed so far; it can still be read after `stop`."""
        if self._log is None:
            return ""
        size = os.fstat(self._log.fileno()).st_size
        # Not through the file object: its position is the one the child writes at.
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server is not started: call start() first")
        return self._process

    def _wait_until_it_answers(self) -> int:
        process = self._running()
        deadline = time.monotonic() + self._start_timeout_s
        with Client(self.address, model_name=self._model_name) as client:
            while True:
                try:
                    return client.wait_until_available(_POLL_S)
                except ClientError as error:
                    if process.poll() is not None:
                        raise self._failed(f"ended with exit code {process.returncode}") from error
                    if time.monotonic() >= deadline:
                        raise self._failed(
                            f"did not answer within {self._start_timeout_s:g} s"
                        ) from error

    def _wait_until_it_listens(self, channel: grpc.Channel) -> None:
        process, ready = self._running(), grpc.channel_ready_future(channel)
        deadline = time.monotonic() + self._start_timeout_s
        while True:
            try:
                return ready.result(_POLL_S)
            except grpc.FutureTimeoutError as error:
                if process.poll() is not None:
                    raise self._failed(f"ended with exit code {process.returncode}") from error
                if time.monotonic() >= deadline:
                    raise self._failed(
                        f"did not listen within {self._start_timeout_s:g} s"
                    ) from error

    def _failed(self, what: str) -> ServerProcessError:
        lines = self.log().splitlines()
        reasons = [line for line in lines if _REASON.search(line)]
        tail = reasons or lines[-_LOG_TAIL_LINES:]
        of = "" if self._base_path is None else f" for {self._base_path}"
        return ServerProcessError(f"The model server{of} {what}.\n" + "\n".join(tail))


def free_port() -> int:
    """A port nobody listens on now; between this call and the server's another may take it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
