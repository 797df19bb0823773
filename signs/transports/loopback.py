"""Which hosts are this very machine."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine: by its address, or as localhost (RFC 6761)."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
