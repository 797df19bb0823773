"""The SSLConfig file: one certificate for gRPC and REST, and whose certificates are asked for.

Source: `config/ssl_config.proto`. TF Serving uses it for gRPC alone and leaves REST in plain text;
here a port that the file should protect is never open without it.
"""

import ssl
import tempfile
from dataclasses import dataclass

import grpc

from model_server.configs.protos import SSLConfig
from model_server.configs.read import ConfigError, read
from model_server.options import StartError

# Without one, OpenSSL would ask the terminal for the password of an encrypted key.
_NO_PASSWORD = ""


@dataclass(frozen=True, repr=False)  # nobody prints a key by accident
class Certificates:
    """PEM texts.

    Args:
        key: the server's private key.
        chain: its certificate, and those between it and an authority.
        authorities: whose certificates callers may have; "" asks for none.
        asks_callers: whether a caller must have one.
    """

    key: str
    chain: str
    authorities: str = ""
    asks_callers: bool = False

    def for_grpc(self) -> grpc.ServerCredentials:
        """What a gRPC server listens with."""
        return grpc.ssl_server_credentials(
            [(self.key.encode(), self.chain.encode())],
            root_certificates=self.authorities.encode() or None,
            require_client_auth=self.asks_callers,
        )

    def for_http(self) -> ssl.SSLContext:
        """What an HTTP server listens with.

        Raises:
            ssl.SSLError: no such texts, an encrypted key, or a key of another certificate.
            TypeError, ValueError: a text that cannot be PEM.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        # OpenSSL reads the key from a file alone: one that only we can read, and only now.
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(f"{self.key}\n{self.chain}\n")
            file.flush()
            context.load_cert_chain(file.name, password=_NO_PASSWORD)
        if self.asks_callers:
            context.load_verify_locations(cadata=self.authorities)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def read_certificates(path: str) -> Certificates:
    """Reads an SSLConfig in text format, and tries what it holds.

    Raises:
        StartError: it cannot be read or used. No text of it is told, here or in the log.
    """
    try:
        config = read(path, SSLConfig(), is_secret=True)
    except ConfigError as error:
        raise StartError(f"{error.code.name}: {error}") from error
    if config.client_verify and not config.custom_ca:
        raise _unusable("client_verify needs a custom_ca to verify clients with", path)
    certificates = Certificates(
        config.server_key, config.server_cert, config.custom_ca, config.client_verify
    )
    try:
        certificates.for_http()
    except (ssl.SSLError, TypeError, ValueError) as error:
        reason = getattr(error, "reason", "") or "not PEM"
        raise _unusable(
            "server_key, server_cert and custom_ca must be PEM texts, the key without a password "
            f"and the certificate's own ({reason})",
            path,
        ) from error
    return certificates


def _unusable(reason: str, path: str) -> StartError:
    return StartError(f"INVALID_ARGUMENT: {reason}: '{path}'")
