"""A worker pool: an engine asks it for workers, which run what the engine sends them.

    engine: StartWorker(id, control endpoint, token) -> a process of `data.engine.worker`

Beam's own pool binds every address, asks for no token, and starts whatever `python` the PATH has.
What a worker is sent is pickled Python: whoever may start one has this user's rights.
"""

import hmac
import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance

from data.engine.engine import EngineError
from data.engine.runner import TOKEN
from data.engine.worker import EXIT_WITH_PARENT

_LOG = logging.getLogger(__name__)
_ENDPOINTS = ("control", "logging", "artifact", "provision")
_TERMINATE_S = 10


class Pool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts and ends workers.

    Args:
        token: what a request must have; None serves whoever reaches the port.
    """

    def __init__(self, token: str | None = None) -> None:
        self._token = token
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def StartWorker(  # noqa: N802 - Beam's name
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Starts a worker, which connects to the engine on its own."""
        given = request.params.get(TOKEN, "")
        if self._token is not None and not hmac.compare_digest(
            given.encode(), self._token.encode()
        ):
            _LOG.warning("%s wanted a worker without our token", context.peer())
            return beam_fn_api_pb2.StartWorkerResponse(
                error="this pool wants its token (--worker-token-file)"
            )
        endpoints = [
            f"--{name}_endpoint={getattr(request, f'{name}_endpoint').url}" for name in _ENDPOINTS
        ]
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "data.engine.worker"),
                *(f"--id={request.worker_id}", *endpoints, EXIT_WITH_PARENT),
            ],
            stdin=subprocess.PIPE,  # ends the worker when the pool ends
            cwd=Path(__file__).resolve().parents[2],
        )
        self._workers[request.worker_id] = worker
        _LOG.info("worker %s: started as process %d", request.worker_id, worker.pid)
        threading.Thread(target=self._watch, args=[request.worker_id, worker], daemon=True).start()
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Ends a worker; its request has no room for a token."""
        if worker := self._workers.pop(request.worker_id, None):
            worker.terminate()
            try:
                worker.wait(_TERMINATE_S)
            except subprocess.TimeoutExpired:
                worker.kill()
        return beam_fn_api_pb2.StopWorkerResponse()

    def _watch(self, name: str, worker: subprocess.Popen[bytes]) -> None:
        code = worker.wait()
        asked = self._workers.get(name) is not worker
        if not asked:
            del self._workers[name]
        if code == 0 or asked:
            _LOG.info("worker %s: ended", name)
        else:
            how = f"ended by signal {-code}" if code < 0 else f"failed ({code})"
            _LOG.warning("worker %s: %s; the engine is told by its closed connection", name, how)


def start(host: str, port: int, token: str | None = None) -> tuple[grpc.Server, int]:
    """Starts a pool's server; returns it and its port.

    Raises:
        EngineError: the port cannot be had.
    """
    server = grpc.server(
        shared_unbounded_instance(),
        # Two pools on one port would share its requests without knowing of each other.
        options=[("grpc.so_reuseport", 0), ("grpc.http2.max_pings_without_data", 0)],
    )
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(Pool(token), server)
    place = f"[{host}]" if ":" in host else host
    try:
        bound = server.add_insecure_port(f"{place}:{port}")
    except RuntimeError as err:
        raise EngineError(f"the pool cannot listen on {place}:{port}: is it in use?") from err
    server.start()
    return server, bound


def wait_for_the_end(server: grpc.Server) -> None:
    """Returns after SIGTERM or Ctrl-C; the workers end with this process."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    server.stop(0).wait()
