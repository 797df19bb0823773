"""grpc.health.v1: one of the services that every gRPC server may have.

    "" and TF Serving's names -> SERVING until the server stops
    a model's name            -> SERVING while one of its versions answers

grpcio-health-checking has one too, whose Watch holds a lock while it sends: two callers, of whom
one hangs up, can stop its whole server for ever. Here nothing is held.
"""

import threading
from collections.abc import Callable, Iterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

NAME = "grpc.health.v1.Health"
# TF Serving's names, which are not those of its services; the first stands for the server.
_SERVICES = ("", "ModelService", "PredictionService")
_LOOK_S = 0.5  # between two looks at a model that is watched
_Status = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """SERVING until `stop`, then NOT_SERVING.

    Args:
        is_available: whether a version of the model of that name answers; None where there is no
            such model.
    """

    def __init__(self, is_available: Callable[[str], bool | None] = lambda name: None) -> None:
        self._is_available = is_available
        self._lock = threading.Lock()
        self._watchers: set[threading.Event] = set()
        self._stopped = False

    def stop(self) -> None:
        """Tells those who watch, and hangs up on them."""
        self._stopped = True
        with self._lock:
            for watcher in self._watchers:
                watcher.set()

    def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """HealthCheckRequest -> HealthCheckResponse."""
        status = self._status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
        return _Status(status=status)

    def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> Iterator[health_pb2.HealthCheckResponse]:
        """HealthCheckRequest -> HealthCheckResponse now, and when it changes."""
        changed = threading.Event()
        with self._lock:
            self._watchers.add(changed)
        try:
            is_there = context.add_callback(changed.set)
            told = None
            while True:
                is_last = self._stopped
                status = self._status(request.service)
                if status != told:
                    told = status
                    yield _Status(status=status)
                if is_last or not is_there or not context.is_active():
                    return
                changed.wait(None if request.service in _SERVICES else _LOOK_S)
        finally:
            with self._lock:
                self._watchers.discard(changed)

    def _status(self, service: str) -> int:
        serves = True if service in _SERVICES else self._is_available(service)
        if serves is None:
            return _Status.SERVICE_UNKNOWN
        return _Status.SERVING if serves and not self._stopped else _Status.NOT_SERVING
