"""Under which names a browser may have found the REST port.

A page of a stranger may give its own name this machine's address ("DNS rebinding"), and then asks
us as if we were its server. The `Host` header still has the stranger's name. An address is nobody's
to give away, and so is always right.
"""

import ipaddress
import re
import socket
from collections.abc import Collection

from signs.transports.loopback import is_loopback

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]*))(?::[0-9]*)?")


class Hosts:
    """The names that are ours.

    Args:
        listening: the address or name that the server listens on: it and this machine's name are.
        more: further names; "*.example.com" stands for all below it, "*" for any.
    """

    def __init__(self, listening: str, more: Collection[str] = ()) -> None:
        own = socket.gethostname()
        names = {name.lower().rstrip(".") for name in (listening, own, f"{own}.local", *more)}
        self._names = names - {""}
        self._suffixes = tuple(name[1:] for name in self._names if name.startswith("*."))

    def allow(self, header: str) -> bool:
        """Whether a request with this `Host` may be for us; browsers always send one."""
        name = host_of(header)
        if name is None:
            return "*" in self._names
        is_ours = not name or "*" in self._names or name in self._names
        return is_ours or is_loopback(name) or _is_address(name) or name.endswith(self._suffixes)


def host_of(header: str) -> str | None:
    """The host of a `Host` header, in lower case and without its port; None of what is none."""
    match = _HOST.fullmatch(header.strip())
    return (match[1] or match[2]).lower().rstrip(".") if match else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
