"""The server as a whole: a model store, the services on top of it, and a grpc server.

start: claim the port -> import TensorFlow -> wait for the model -> listen
stop:  refuse new requests -> finish those in flight -> unload
"""

import gc
import logging
import socket
import threading
from concurrent import futures
from pathlib import Path

import grpc

from serving.server.flags import ServerOptions, StartError
from serving.server.model_store import LoadPolicy, ModelStore, State

log = logging.getLogger(__name__)

_WAIT_STEP_S = 0.2
_UNLIMITED = -1
# Requests had their time: what still holds a model now, or is still loading one, will not end soon.
_UNLOAD_TIMEOUT_S = 2.0


class ModelServer:
    """One model behind one port.

    Args:
        options: the flags.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._grpc: grpc.Server | None = None
        self._store: ModelStore | None = None

    @property
    def address(self) -> str:
        """Where it listens, as in "127.0.0.1:8500"."""
        host = self._options.host
        return f"[{host}]:{self._options.port}" if ":" in host else f"{host}:{self._options.port}"

    def start(self, stop: threading.Event) -> int | None:
        """Loads the model, then listens.

        The port opens when the model answers, as TF Serving's does: who can connect gets answers.

        Args:
            stop: set it to give up waiting for a model.

        Returns:
            The version that is served; None if `stop` was set first.

        Raises:
            StartError: the port is taken, or the first version cannot be loaded.
        """
        self._check_port()
        # Here and not above: a wrong flag or a taken port need not wait for TensorFlow.
        from serving.server.inference.options import InferenceOptions
        from serving.server.model_service import ModelService
        from serving.server.models import Models
        from serving.server.prediction_service import PredictionService
        from serving.server.saved_model import SavedModel, SessionOptions

        # What is imported by now stays: not looking at it again keeps a collection under 10 ms.
        gc.collect()
        gc.freeze()
        options = self._options
        both = options.tensorflow_session_parallelism
        session = SessionOptions(
            tags=tuple(tag for tag in options.saved_model_tags.split(",") if tag),
            intra_op_threads=options.tensorflow_intra_op_parallelism or both,
            inter_op_threads=options.tensorflow_inter_op_parallelism or both,
            gpu_memory_fraction=options.per_process_gpu_memory_fraction,
        )
        policy = LoadPolicy(
            poll_wait_s=options.file_system_poll_wait_seconds,
            max_retries=options.max_num_load_retries,
            retry_wait_s=options.load_retry_interval_micros / 1e6,
        )
        store = ModelStore(
            options.model_name,
            Path(options.model_base_path),
            lambda path: SavedModel(path, session),
            policy,
        )
        self._store = store
        store.start()
        version = self._wait_for_model(store, stop)
        if version is None:
            return None
        models = Models({options.model_name: store})
        prediction = PredictionService(
            models, InferenceOptions(as_content=options.enable_serialization_as_tensor_content)
        )
        self._listen([prediction.handler(), ModelService(models).handler()])
        return version

    def stop(self) -> bool:
        """Drains and unloads; False if something would not finish."""
        drained = True
        if self._grpc is not None:
            finished = self._grpc.stop(self._options.drain_seconds)
            drained = finished.wait(self._options.drain_seconds + 1)
        if self._store is not None:
            drained = self._store.stop(_UNLOAD_TIMEOUT_S) and drained
        return drained

    def _check_port(self) -> None:
        """Fails at once where the port is taken; binding for good comes after the model."""
        options = self._options
        try:
            (family, _, _, _, address), *_ = socket.getaddrinfo(
                options.host, options.port, type=socket.SOCK_STREAM
            )
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
        except OSError as error:
            raise self._cannot_listen(error.strerror or str(error)) from error

    def _cannot_listen(self, reason: str) -> StartError:
        return StartError(
            f"INVALID_ARGUMENT: Failed to BuildAndStart gRPC server at {self.address}: {reason}. "
            "Stop what listens there, or choose another --port."
        )

    def _wait_for_model(self, store: ModelStore, stop: threading.Event) -> int | None:
        while not stop.is_set():
            outcome = store.wait_for_outcome(_WAIT_STEP_S)
            if outcome is None:
                continue
            if outcome.state is State.AVAILABLE:
                return outcome.version
            code = outcome.error.code.name if outcome.error else "UNKNOWN"
            raise StartError(
                "UNKNOWN: 1 servable(s) did not become available: "
                f"{{{{{{name: {store.name} version: {outcome.version}}} "
                f"due to error: {code}: {outcome.error}}}, }}"
            )
        return None

    def _listen(self, handlers: list[grpc.GenericRpcHandler]) -> None:
        threads = self._options.grpc_max_threads
        server = grpc.server(
            futures.ThreadPoolExecutor(threads, thread_name_prefix="rpc"),
            options=[
                # Without this a second server could listen on the same port and take half of it.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", _UNLIMITED),
                ("grpc.max_send_message_length", _UNLIMITED),
            ],
        )
        server.add_generic_rpc_handlers(handlers)
        if self._options.enable_grpc_healthcheck_service:
            _add_health(server)
        try:
            server.add_insecure_port(self.address)
        except RuntimeError as error:
            raise self._cannot_listen("the port was taken meanwhile") from error
        server.start()
        self._grpc = server


def _add_health(server: grpc.Server) -> None:
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    servicer = health.HealthServicer()
    for service in ("", "ModelService", "PredictionService"):
        servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
