"""grpc.health.v1: one of the services that every gRPC server may have.

grpcio-health-checking has one too, whose Watch holds a lock while it sends: two callers, of whom
one hangs up, can stop its whole server for ever. Here nothing is held.
"""

import threading
from collections.abc import Iterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

NAME = "grpc.health.v1.Health"
# TF Serving's names, which are not those of its services; the first stands for the server.
_SERVICES = ("", "ModelService", "PredictionService")
_Status = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """SERVING until `stop`, then NOT_SERVING."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: set[threading.Event] = set()
        self._status = _Status.SERVING

    def stop(self) -> None:
        """Tells those who watch, and hangs up on them."""
        self._status = _Status.NOT_SERVING
        with self._lock:
            for watcher in self._watchers:
                watcher.set()

    def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """HealthCheckRequest -> HealthCheckResponse."""
        if request.service not in _SERVICES:
            context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
        return _Status(status=self._status)

    def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> Iterator[health_pb2.HealthCheckResponse]:
        """HealthCheckRequest -> HealthCheckResponse now, and when it changes."""
        changed = threading.Event()
        with self._lock:
            self._watchers.add(changed)
        try:
            known = request.service in _SERVICES
            yield _Status(status=self._status if known else _Status.SERVICE_UNKNOWN)
            if context.add_callback(changed.set) and self._status == _Status.SERVING:
                changed.wait()
            if known and self._status != _Status.SERVING:
                yield _Status(status=self._status)
        finally:
            with self._lock:
                self._watchers.discard(changed)
