"""What a kubelet serves of its pods' logs, as the API server asks for them: `kubectl logs`.

kubectl, KFP's API server -> kube-apiserver -> GET /containerLogs/NAMESPACE/POD/CONTAINER
"""

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class LogServer:
    """Serves on loopback from its start to its stop, and answers the API server alone.

    Args:
        certificate: that it shows, and that who asks must show.
        key: of that certificate.
        log: what a container has said: pod, container, namespace -> text.
    """

    def __init__(self, certificate: Path, key: Path, log: Callable[[str, str, str], str]) -> None:
        self._certificate, self._key, self._log = certificate, key, log

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"log": staticmethod(self._log)})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._key)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self._certificate)
        # The handshake is made in the thread of its connection.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port


class _Handler(BaseHTTPRequestHandler):
    log: Callable[[str, str, str], str]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        match parts.path.strip("/").split("/"):
            case ["containerLogs", namespace, pod, container] if not parts.query:
                status, text = 200, self.log(pod, container, namespace)
            case _:  # a part of a log, or what follows: nobody asks for it here
                status, text = 501, f"not here: {self.path}"
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
