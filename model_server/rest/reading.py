"""Reads the bodies of requests into memory, of which each may take so much, and all together."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from model_server.asgi import Receive

# A body that is too large is read and thrown away, so that its sender hears why; up to this many
# times what is allowed.
_PATIENCE = 4


class TooLargeError(Exception):
    """A body has more bytes than one may have."""


class NoRoomError(Exception):
    """Too much of other bodies is in memory now."""


class Room:
    """The memory for all bodies, from their first byte until the request is answered.

    Args:
        of_one: the most bytes of a body.
        of_all: the most bytes of all bodies together.
    """

    def __init__(self, of_one: int, of_all: int) -> None:
        self._of_one = of_one
        self._of_all = of_all
        self._taken = 0

    @contextmanager
    def for_a_body(self) -> Iterator["Body"]:
        """Room for one; what it took is free again at the end."""
        body = Body(self)
        try:
            yield body
        finally:
            self._taken -= body.size

    def take(self, size: int) -> None:
        """Takes so many bytes.

        Raises:
            NoRoomError: they are not free.
        """
        if self._taken + size > self._of_all:
            raise NoRoomError
        self._taken += size

    @property
    def of_one(self) -> int:
        """The most bytes of a body."""
        return self._of_one


class Body:
    """One request's body; `size` bytes of it are in memory."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size = 0

    async def read(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes | None:
        """The whole body; None if the caller left.

        Raises:
            TooLargeError: it has more bytes than one may have.
            NoRoomError: see `Room`.
        """
        parts: list[bytes] = []
        length = headers.get(b"content-length", b"0")
        announced, most = int(length) if length.isdigit() else 0, self._room.of_one
        came = 0
        while announced <= _PATIENCE * most:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            came += len(part)
            if max(came, announced) <= most:
                self._room.take(len(part))
                self.size += len(part)
                parts.append(part)
            if not message.get("more_body", False) or came > _PATIENCE * most:
                break
        if max(came, announced) > most:
            raise TooLargeError
        return b"".join(parts)
