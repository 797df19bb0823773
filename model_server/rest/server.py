"""Runs an ASGI app on a port, with uvicorn, in a thread of its own."""

import asyncio
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from model_server.access.certificates import Certificates
from model_server.asgi import App
from model_server.rest.app import error_page

# libevent lets idle connections be; uvicorn's five seconds would race with clients' pools.
_KEEP_ALIVE_S = 3600
_BACKLOG = 2048
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class _Protocol(HttpToolsProtocol):
    """One connection; as libevent, it knows no protocol but this, and says what is no HTTP."""

    def data_received(self, data: bytes) -> None:
        # The parser would drop the body of a request that offers to go on in HTTP/2, as Java's
        # client and `curl --http2` do. A body that looks like such a header is no JSON.
        super().data_received(_UPGRADE.sub(b"\r\nIgnored:", data))

    def send_400_response(self, msg: str) -> None:
        page = error_page(400, "Bad Request")
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/html\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(page), page)
        )
        self.transport.close()


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
        certificates: encrypt it; None does not.
    """

    def __init__(
        self,
        app: App,
        host: str,
        port: int,
        threads: int,
        certificates: Certificates | None = None,
    ) -> None:
        self._host = host
        self.port = port
        self._threads = threads
        self._socket: socket.socket | None = None
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                loop="asyncio",
                interface="asgi3",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                backlog=_BACKLOG,
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
        self._socket = socket.create_server(
            (address[0], self.port),  # getaddrinfo takes 65536 for 0
            family=family,
            backlog=_BACKLOG,
            dualstack_ipv6=self._host == "::" and socket.has_dualstack_ipv6(),
        )
        # For the connections it accepts: asyncio sees to it only where a socket says it is TCP, and
        # otherwise the client's late acknowledgement of the headers holds the body back for 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self._socket.getsockname()[1]
        self._thread.start()

    def stop(self, drain_s: float) -> bool:
        """Stops listening and lets the requests in flight finish.

        Args:
            drain_s: seconds they have for it.

        Returns:
            False if something did not finish in time.
        """
        if self._socket is None:
            return True
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
        await self._server.serve(sockets=[self._socket])
