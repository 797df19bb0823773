"""Runs an ASGI app on a port, with uvicorn, in a thread of its own."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn

from model_server.access.certificates import Certificates
from model_server.asgi import App
from model_server.rest.connection import Connections, Limits

_BACKLOG = 128
# At once: asyncio complains so often in a row where the system has no files left.
_ACCEPTED = 8
# Connections that are refused, are cut, or shake hands for TLS: these are no `Connections` yet.
_ON_THE_WAY = 16
_NEVER_S = 10**8
_CLOSE = (b"connection", b"close")


def _context_of(
    certificates: Certificates | None,
) -> Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext] | None:
    """What uvicorn makes its SSL context with; None where there is none."""
    return None if certificates is None else lambda config, default: certificates.for_http()


class RestServer:
    """One port.

    Args:
        app: what answers.
        host: the address to listen on.
        port: the port; 0 takes any that is free.
        threads: how many requests may run models at the same time.
        limits: what a connection may take.
        certificates: encrypt it; None does not.
    """

    def __init__(
        self,
        app: App,
        host: str,
        port: int,
        threads: int,
        limits: Limits | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self._host = host
        self.port = port
        self._threads = threads
        self._socket: socket.socket | None = None
        self._connections = Connections(limits or Limits())
        factory: Any = self._connections.open
        self._server = _Server(
            uvicorn.Config(
                app,
                http=factory,
                ws="none",
                lifespan="off",
                loop="asyncio",
                interface="asgi3",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_NEVER_S,  # `Connections` see to it
                backlog=_ACCEPTED,
                ssl_context_factory=_context_of(certificates),
            )
        )
        self._thread = threading.Thread(target=self._run, name="rest", daemon=True)

    def start(self) -> None:
        """Listens: from here on connections are accepted, and soon answered.

        Raises:
            OSError: the address cannot be listened on.
        """
        (family, _, _, _, address), *_ = socket.getaddrinfo(
            self._host, self.port, type=socket.SOCK_STREAM
        )
        listening = socket.create_server(
            (address[0], self.port),  # getaddrinfo takes 65536 for 0
            family=family,
            backlog=_BACKLOG,
            dualstack_ipv6=self._host == "::" and socket.has_dualstack_ipv6(),
        )
        most = self._connections.limits.connections + _ON_THE_WAY
        self._socket = _Listening(listening.detach(), most)
        # For the connections it accepts: asyncio sees to it only where a socket says it is TCP, and
        # otherwise the client's late acknowledgement of the headers holds the body back for 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self._socket.getsockname()[1]
        self._thread.start()

    def stop(self, drain_s: float, lame_duck_s: float = 0.0) -> bool:
        """Sends clients away, stops listening, and lets the requests in flight finish.

        Args:
            drain_s: seconds that requests in flight have.
            lame_duck_s: seconds before that in which all are answered, each as the last of its
                connection.

        Returns:
            False if something did not finish in time.
        """
        if self._socket is None:
            return True
        if lame_duck_s:
            self._server.config.encoded_headers.append(_CLOSE)
            self._server.server_state.default_headers.append(_CLOSE)
            time.sleep(lame_duck_s)
        self._server.config.timeout_graceful_shutdown = max(1, round(drain_s))
        self._server.should_exit = True
        self._thread.join(drain_s + 2)
        return not self._thread.is_alive()

    def _run(self) -> None:
        # What is cancelled when the time to drain is over need not be told.
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        assert self._socket is not None
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="rest")
        asyncio.get_running_loop().set_default_executor(pool)
        watching = asyncio.create_task(self._connections.watch())
        await self._server.serve(sockets=[self._socket])
        watching.cancel()


class _Listening(socket.socket):
    """Accepts so many sockets that are open at the same time; one more is closed at once."""

    def __init__(self, fileno: int, most: int) -> None:
        super().__init__(fileno=fileno)
        self._most = most
        self._accepted: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        """See `socket.socket`.

        Raises:
            ConnectionAbortedError: there are too many.
        """
        accepted, address = super().accept()
        if len(self._accepted) >= self._most:
            self._accepted = weakref.WeakSet(one for one in self._accepted if one.fileno() >= 0)
        if len(self._accepted) >= self._most:
            accepted.close()
            raise ConnectionAbortedError
        self._accepted.add(accepted)
        return accepted, address


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # uvicorn has one number for those that it accepts at once, and those that may wait for it.
        for listening in sockets or ():
            listening.listen(_BACKLOG)
