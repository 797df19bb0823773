"""The gRPC server: where it listens, TLS, limits, the end.

    constructed: TLS and settings are read -> check_port -> start: listens
    stop: health says so -> new requests are UNAVAILABLE -> connections go away -> drains

Source: `BuildAndStart` of TF Serving's `model_servers/server.cc`. Unlike there, a port that another
server listens on is refused (`grpc.so_reuseport=0`), before a model is loaded for nothing.
"""

import logging
import re
import socket
import time
from collections.abc import Callable
from concurrent import futures

import grpc
from grpc_health.v1 import health_pb2_grpc

from model_server.access.access import Access
from model_server.access.grpc_guard import TokenInterceptor
from model_server.grpc_api import health, standard_services
from model_server.grpc_api.rpc import Rpcs, Services
from model_server.options import ServerOptions, StartError

log = logging.getLogger(__name__)

_UNLIMITED = -1
_HANDSHAKE_MS = 10_000
# Who has gone without a word is noticed.
_KEEPALIVE_MS, _KEEPALIVE_TIMEOUT_MS = 60_000, 20_000
# Threads on top of those that answer: for calls to be refused, health, reflection, and callers that
# have begun a call and not sent their request yet.
_SPARE_THREADS = 32
_POLL_S = 0.02
# When no request is in flight, so long may answers take to leave; then watchers are hung up on.
_LINGER_S = 0.5
# gRPC tells calls that come as it shuts down CANCELLED. So callers are told UNAVAILABLE first, and
# have this time to go elsewhere; less, if none has come for a while.
_LEAVE_S = 1.0
_QUIET_S = 0.25
_INT32 = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)


class GrpcServer:
    """TF Serving's services on a TCP port, a UNIX socket, or both.

    Args:
        options: the flags.
        rpcs: what binds `services`; tells which requests are in flight.
        access: who may ask.

    Raises:
        StartError: `--grpc_channel_arguments` cannot be used.
    """

    def __init__(self, options: ServerOptions, rpcs: Rpcs, access: Access) -> None:
        self._options = options
        self._rpcs = rpcs
        self._access = access
        self._arguments: dict[str, int | str] = {
            # Without this a second server could listen on the same port and take half of it.
            "grpc.so_reuseport": 0,
            "grpc.max_receive_message_length": options.max_request_bytes,
            "grpc.max_send_message_length": _UNLIMITED,
            "grpc.max_concurrent_streams": options.grpc_max_threads + _SPARE_THREADS,
            "grpc.max_connection_idle_ms": _milliseconds(options.connection_idle_seconds),
            "grpc.server_handshake_timeout_ms": _HANDSHAKE_MS,
            "grpc.keepalive_time_ms": _KEEPALIVE_MS,
            "grpc.keepalive_timeout_ms": _KEEPALIVE_TIMEOUT_MS,
            **_channel_arguments(options.grpc_channel_arguments),
        }
        self._server: grpc.Server | None = None
        self._health: health.Health | None = None

    @property
    def address(self) -> str:
        """Where it listens for TCP, as in "127.0.0.1:8500"."""
        host = self._options.host
        return f"[{host}]:{self._options.port}" if ":" in host else f"{host}:{self._options.port}"

    def check_port(self) -> None:
        """Tells now, and not after loading, that the port is taken.

        Raises:
            StartError: it is.
        """
        if not self._options.port or self._arguments["grpc.so_reuseport"]:
            return
        try:
            (family, _, _, _, address), *_ = socket.getaddrinfo(
                self._options.host, self._options.port, type=socket.SOCK_STREAM
            )
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # getaddrinfo takes 65536 for 0, which would be any port; bind does not.
                probe.bind((address[0], self._options.port, *address[2:]))
                probe.listen(1)
        except (OSError, OverflowError) as error:
            raise _cannot_listen(self.address, getattr(error, "strerror", "") or error) from error

    def start(
        self,
        services: Services,
        is_available: Callable[[str], bool | None] = lambda name: None,
        connections: int = 1024,
    ) -> None:
        """Listens.

        Args:
            services: what is answered.
            is_available: as for `Health`.
            connections: how many there may be at the same time; one more is closed at once.

        Raises:
            StartError: the address cannot be listened on, or the certificate cannot be used.
        """
        limit = self._options.grpc_max_threads + _SPARE_THREADS
        server = grpc.server(
            futures.ThreadPoolExecutor(limit, thread_name_prefix="rpc"),
            interceptors=[TokenInterceptor(self._access.tokens)] if self._access.tokens else (),
            options=list(self._limited(connections).items()),
            maximum_concurrent_rpcs=limit,
        )
        server.add_generic_rpc_handlers(
            [self._rpcs.service(name, methods) for name, methods in services.items()]
        )
        names = list(services)
        if self._options.enable_profiler:
            standard_services.add_profiler(server)
            names.append(standard_services.PROFILER)
        if self._options.enable_grpc_healthcheck_service:
            self._health = health.Health(is_available)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            names.append(health.NAME)
        if self._access.reflection:
            standard_services.add_reflection(server, names)
        if self._options.port:
            self._listen(server, self.address)
        if self._options.grpc_socket_path:
            self._listen(server, f"unix:{self._options.grpc_socket_path}")
        server.start()
        self._server = server
        if self._options.port:
            log.info("Running gRPC ModelServer at %s ...", self.address)
        if self._options.grpc_socket_path:
            log.info(
                "Running gRPC ModelServer at UNIX socket %s ...", self._options.grpc_socket_path
            )

    def stop(self, drain_s: float, lame_duck_s: float = 0.0) -> bool:
        """Takes no new requests, and waits for those in flight.

        Args:
            drain_s: seconds that they have; then their callers are told CANCELLED.
            lame_duck_s: seconds before that in which health says NOT_SERVING, and all is answered.

        Returns:
            Whether all were answered.
        """
        if self._server is None:
            return True
        if self._health is not None:
            self._health.stop()
        time.sleep(lame_duck_s)
        self._rpcs.refuse()
        self._let_callers_leave()
        finished = self._server.stop(drain_s)
        # Health and reflection streams have no end of their own, and need not be waited for.
        now = time.monotonic()
        give_up_at, idle_since = now + drain_s, now
        while not finished.wait(_POLL_S):
            now = time.monotonic()
            if self._rpcs.in_flight:
                idle_since = now
            if now >= give_up_at or now - idle_since >= _LINGER_S:
                break
        self._server.stop(None)
        return self._rpcs.in_flight == 0

    def _limited(self, connections: int) -> dict[str, int | str]:
        # gRPC counts the connections of each address by themselves.
        addresses = bool(self._options.port) + bool(self._options.grpc_socket_path)
        share = max(1, connections // max(1, addresses))
        return {"grpc.max_allowed_incoming_connections": share, **self._arguments}

    def _let_callers_leave(self) -> None:
        until = time.monotonic() + _LEAVE_S
        while (now := time.monotonic()) < min(until, self._rpcs.asked_at + _QUIET_S):
            time.sleep(min(_POLL_S, until - now))

    def _listen(self, server: grpc.Server, address: str) -> None:
        try:
            if self._access.certificates is None:
                server.add_insecure_port(address)
            else:
                server.add_secure_port(address, self._access.certificates.for_grpc())
        except RuntimeError as error:
            raise _cannot_listen(address, error) from error


def _cannot_listen(address: str, reason: object) -> StartError:
    log.error("Cannot listen at %s: %s", address, reason)
    return StartError("INVALID_ARGUMENT: Failed to BuildAndStart gRPC server")


def _milliseconds(seconds: float) -> int:
    return min(round(1000 * seconds), 2**31 - 1)  # which is for ever


def _channel_arguments(text: str) -> dict[str, int | str]:
    """Settings of grpc's core, as in "grpc.max_connection_age_ms=2000,a=b"; an int where it can."""
    arguments: dict[str, int | str] = {}
    for item in text.split(",") if text else ():
        key, *values = item.split("=")
        if not key or not values:
            raise StartError(
                "INVALID_ARGUMENT: --grpc_channel_arguments must be key=value,key=value. "
                f"Received: {text}"
            )
        value = values[0]
        fits = _INT32.fullmatch(value) and -(2**31) <= int(value) < 2**31
        arguments[key] = int(value) if fits else value
    return arguments
