"""What a port speaks, where a client got no answer that it could understand.

    address -> a word in HTTP/1, HTTP/2 and TLS, each on a connection of its own -> one sentence

It is asked after a failure only. It tells nothing of the request, asks for no model, and takes
`_PATIENCE_S` a connection at most. Sources: RFC 9113 (section 3.4: who speaks HTTP/2 begins with a
SETTINGS frame), RFC 8446 (section 4: handshake).
"""

import json
import socket
import ssl
from dataclasses import dataclass
from typing import Literal

_PATIENCE_S = 0.5
_MOST_BYTES = 64 * 1024
_HTTP_1 = b"GET %s/v1/models/signs HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
_HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"  # and empty settings


@dataclass(frozen=True)
class Place:
    """An address, and how a client speaks there: what it was told to do."""

    host: str
    port: int
    path: str
    is_rest: bool
    is_encrypted: bool

    @property
    def name(self) -> str:
        """The host and the port, as gRPC's addresses have them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class _Heard:
    kind: Literal["gRPC", "REST", "web", "other", "silence"]
    is_encrypted: bool = False
    words: str = ""  # of who is no model server


def place_of(address: str, *, is_encrypted: bool) -> Place | None:
    """The place of a client's address; None of one without a port, such as a UNIX socket."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "", address
    authority, slash, path = rest.partition("/")
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = authority, {"http": "80", "https": "443"}.get(scheme, "")
    if not host or not port or address.startswith("unix:"):
        return None
    return Place(
        host.strip("[]"),
        int(port),
        (slash + path).rstrip("/"),
        is_rest=bool(scheme),
        is_encrypted=is_encrypted or scheme == "https",
    )


def what_it_speaks(place: Place | None) -> str | None:
    """Asks the port, and says what to do about it.

    Returns:
        A sentence that begins with the address; None where nobody answers there, or where the port
        speaks what the client does.
    """
    heard = None if place is None else _listen(place)
    if place is None or heard is None:
        return None
    match heard.kind:
        case "silence":
            return (
                f"{place.name} takes connections and says nothing: it hangs, or waits for what is "
                "neither gRPC nor REST."
            )
        case "other":
            return f'{place.name} is no model server: it says "{heard.words}".'
        case "web":
            return f"{place.name} is a web server{heard.words}, and no model server."
    is_rest = heard.kind == "REST"
    if (is_rest, heard.is_encrypted) == (place.is_rest, place.is_encrypted):
        return None
    if is_rest:
        todo = f"use {'https' if heard.is_encrypted else 'http'}://{place.name}{place.path}"
    else:
        todos = [f"use {place.name}"] if place.is_rest else []
        if heard.is_encrypted and (place.is_rest or not place.is_encrypted):
            todos.append("name whom to trust (--ca FILE)")
        elif place.is_encrypted and not heard.is_encrypted:
            todos.append("name no certificates (--ca, --cert, --key)")
        todo = ", and ".join(todos)
    spoken: str = heard.kind
    if heard.is_encrypted != place.is_encrypted:
        spoken += " with TLS" if heard.is_encrypted else " without TLS"
    if is_rest != place.is_rest:
        spoken += ", not gRPC" if is_rest else ", not REST"
    return f"{place.name} speaks {spoken}: {todo}."


def _listen(place: Place) -> _Heard | None:
    host = place.name.encode()
    hello = _HTTP_1 % (place.path.encode(), host)
    try:
        said = _say(place, hello)
        heard = _understood(said) or _understood(_say(place, _HTTP_2))
        if heard is None or b" 400 " in said[:16]:  # as web servers refuse who forgot TLS
            heard = _in_secret(place, hello) or heard
    except OSError:
        return None  # nobody there, any more
    return heard or _Heard("silence")


def _say(place: Place, words: bytes) -> bytes:
    """What is answered, up to the first silence.

    Raises:
        OSError: nobody takes the connection.
    """
    with socket.create_connection((place.host, place.port), _PATIENCE_S) as connection:
        return _answer(connection, words)


def _answer(connection: socket.socket, words: bytes) -> bytes:
    said = b""
    try:
        connection.sendall(words)
        while len(said) < _MOST_BYTES and (more := connection.recv(_MOST_BYTES)):
            said += more
            if not said.startswith(b"HTTP/1."):
                break  # a banner, or a frame: who speaks so waits for us
    except OSError:
        pass  # time is up, or it hung up
    return said


def _in_secret(place: Place, hello: bytes) -> _Heard | None:
    """The same over TLS, whoever it is; None where it is not spoken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection((place.host, place.port), _PATIENCE_S) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=place.host) as connection:
                if connection.selected_alpn_protocol() == "h2":
                    return _Heard("gRPC", is_encrypted=True)
                heard = _understood(_answer(connection, hello))
        except ssl.SSLError as error:
            if "ALERT" not in (error.reason or ""):
                return None
            heard = None  # it speaks TLS, and wants another partner than us
        except OSError:
            return None
    kind = heard.kind if heard else "REST" if place.is_rest else "gRPC"
    return _Heard(kind, is_encrypted=True, words=heard.words if heard else "")


def _understood(said: bytes) -> _Heard | None:
    if said[3:4] == b"\x04" and said[5:9] == b"\0\0\0\0":
        return _Heard("gRPC")
    if said.startswith(b"HTTP/1."):
        head, _, body = said.partition(b"\r\n\r\n")
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if isinstance(answer, dict) and {"error", "model_version_status"} & answer.keys():
            return _Heard("REST")
        servers = [line[7:] for line in head.split(b"\r\n") if line.lower().startswith(b"server:")]
        return _Heard("web", words=f" ({_shown(servers[0])})" if servers else "")
    line = said.split(b"\n", 1)[0]
    if line and all(32 <= byte < 127 for byte in line.rstrip(b"\r")):
        return _Heard("other", words=_shown(line))
    return None


def _shown(words: bytes) -> str:
    return words.decode("ascii", "replace").strip()[:60]
