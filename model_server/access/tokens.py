"""The file of tokens: whoever sends one of them may ask.

    authorization: Bearer TOKEN             gRPC metadata, HTTP header
    authorization: Basic base64(ANY:TOKEN)  HTTP only: what a browser sends after its own prompt

The file is looked at with every request, so that tokens change without a restart. While it cannot
be read, or holds none, those of before stay.
"""

import base64
import hashlib
import hmac
import logging
import os
import stat
import threading
from pathlib import Path

from model_server.options import StartError
from signs.transports.token import TokenError, read_tokens

log = logging.getLogger(__name__)

REFUSAL = "A token is needed: authorization: Bearer TOKEN"


class Tokens:
    """The tokens of a file, as they are now.

    Args:
        path: the file; see `read_tokens`.

    Raises:
        StartError: it cannot be read, or holds no token.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None  # not even looked for
        self._digests: tuple[bytes, ...] = ()
        if problem := self._read():
            raise StartError(f"INVALID_ARGUMENT: --auth_token_file: {problem}")
        if self._path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            log.warning(
                "--auth_token_file: %s can be read by others than its owner: chmod 600", path
            )

    def accept(self, authorization: str, *, basic: bool = False) -> bool:
        """Whether a header has one of the tokens; takes as long for each wrong one.

        Args:
            authorization: the header's value; "" where there is none.
            basic: whether a browser's way of sending it counts, too.
        """
        scheme, _, given = authorization.partition(" ")
        token = given.strip()
        if basic and scheme.lower() == "basic":
            token = _password(token)
        elif scheme.lower() != "bearer":
            return False
        if problem := self._read():
            log.error("--auth_token_file: %s The tokens of before stay.", problem)
        digest = _digest(token)
        # All of them, and not up to the first that fits: how long it takes tells nothing.
        return sum(hmac.compare_digest(digest, one) for one in self._digests) > 0

    def _read(self) -> str:
        """Reads the file if it has changed; what is wrong with it, once."""
        with self._lock:
            seen: tuple[int, ...]
            try:
                status = self._path.stat()
                seen = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
            except OSError:
                seen = ()  # reading it says why
            if seen == self._seen:
                return ""
            self._seen = seen
            try:
                self._digests = tuple(_digest(token) for token in read_tokens(self._path))
            except TokenError as error:
                return str(error)
            return ""


def _digest(token: str) -> bytes:
    # Of equal length, whatever the tokens' is.
    return hashlib.sha256(token.encode()).digest()


def _password(credentials: str) -> str:
    """What follows the colon in the credentials of HTTP's Basic scheme (RFC 7617)."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:  # no base64, or no UTF-8
        return ""
