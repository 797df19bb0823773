"""Tokens: how a file holds them, and where one may go.

A file has a token a line; what is blank or begins with # is none.
"""

import os
import re
from pathlib import Path

from signs.errors import UserError
from signs.transports.loopback import is_loopback
from signs.transports.probe import place_of
from signs.transports.transport import ClientError, Headers

# RFC 6750, section 2.1. A shorter one could be guessed.
_SHORTEST = 16
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/-]{{{_SHORTEST},}}=*")
_RULE = f"a token has {_SHORTEST} or more of the characters A-Z a-z 0-9 - . _ ~ + /"


class TokenError(UserError):
    """A file without tokens; its text quotes none."""


def read_tokens(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The tokens of a file, at least one.

    Raises:
        TokenError: it cannot be read, holds none, or a line that is none.
    """
    try:
        lines = Path(path).read_text("ascii").splitlines()
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise TokenError(f"{path}: {_RULE}.") from None
    tokens = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            if not _TOKEN.fullmatch(line):
                raise TokenError(f"{path}, line {number}: {_RULE}.")
            tokens.append(line)
    if not tokens:
        raise TokenError(f"{path} holds no token: write one in a line of its own.")
    return tuple(tokens)


def authorization(token: str | None, address: str, *, encrypted: bool, plain: bool) -> Headers:
    """The header that a request has for a token.

    Args:
        token: the token; None sends none.
        address: where the request goes, as for `Client`.
        encrypted: whether the client has been told to speak TLS.
        plain: whether the token may go to another machine without encryption.

    Raises:
        ClientError: no token that could be sent, or it may not go there.
    """
    if token is None:
        return {}
    if not _TOKEN.fullmatch(token):
        raise ClientError(f"`token`: {_RULE}.")
    # One of several addresses, with commas between them, is enough to give it away.
    places = [address] if address.startswith("unix:") else address.split(",")
    if not (plain or all(_is_safe(place.strip(), encrypted) for place in places)):
        raise ClientError(
            f"A token for {address} would go there without encryption, for everybody on the way to "
            "read: use TLS (`tls` or https:; --ca), or say that it may (`plain_token`, "
            "--plain-token)."
        )
    return {"authorization": f"Bearer {token}"}


def _is_safe(address: str, encrypted: bool) -> bool:
    """Whether what is sent there is encrypted, or never leaves this machine."""
    if address.startswith(("https://", "unix:")) or (
        encrypted and not address.startswith("http://")
    ):
        return True
    if "/" in address and not address.startswith("http://"):
        return False  # gRPC has names that say which server is to be asked for the address
    place = place_of(address, is_encrypted=False)
    return place is not None and is_loopback(place.host)
