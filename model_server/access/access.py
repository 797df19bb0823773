"""The flags on who may ask, read once before anything listens."""

from dataclasses import dataclass

from model_server.access.certificates import Certificates, read_certificates
from model_server.access.hosts import Hosts
from model_server.access.tokens import Tokens
from model_server.options import ServerOptions
from signs.transports.loopback import is_loopback


@dataclass(frozen=True)
class Access:
    """Who may ask, and how.

    Args:
        hosts: the names under which REST answers.
        certificates: encrypt gRPC and REST; None does not.
        tokens: of which every request needs one; None asks for none.
        reflection: whether gRPC tells what can be called.
    """

    hosts: Hosts
    certificates: Certificates | None
    tokens: Tokens | None
    reflection: bool


def read_access(options: ServerOptions) -> Access:
    """Reads the files that the flags name.

    Raises:
        StartError: one of them cannot be used.
    """
    return Access(
        Hosts(options.host, [name for name in options.rest_allowed_hosts.split(",") if name]),
        read_certificates(options.ssl_config_file) if options.ssl_config_file else None,
        Tokens(options.auth_token_file) if options.auth_token_file else None,
        options.enable_reflection or is_loopback(options.host) or not options.port,
    )
