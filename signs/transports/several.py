"""Several servers of one model, as one transport: where one is away, the next is asked."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from signs import protos
from signs.transports.transport import AWAY, NO_HEADERS, AsyncTransport, Headers, TransportError

_Answer = TypeVar("_Answer")


class Several:
    """An AsyncTransport. All requests go to one server until it is away, then to the next.

    The request that found it away fails: its sender tries again.

    Args:
        transports: one for each server; the first is asked first.
    """

    def __init__(self, transports: Sequence[AsyncTransport]) -> None:
        self._transports = tuple(transports)
        self._asked = 0

    async def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        timeout_s: float,
        headers: Headers = NO_HEADERS,
        optional: Sequence[str] = (),
        label: str | None = None,
    ) -> dict[str, np.ndarray]:
        """See `Transport`."""
        return await self._ask(
            lambda one: one.predict(signature, inputs, outputs, timeout_s, headers, optional, label)
        )

    async def status(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> protos.GetModelStatusResponse:
        """See `Transport`."""
        return await self._ask(lambda one: one.status(timeout_s, headers))

    async def metadata(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> tuple[int, protos.SignatureDefMap]:
        """See `Transport`."""
        return await self._ask(lambda one: one.metadata(timeout_s, headers))

    async def close(self) -> None:
        """See `Transport`."""
        for one in self._transports:
            await one.close()

    async def _ask(self, ask: Callable[[AsyncTransport], Awaitable[_Answer]]) -> _Answer:
        asked = self._asked
        try:
            return await ask(self._transports[asked])
        except TransportError as error:
            # Of many requests that fail at the same time, one goes on to the next server.
            if error.code in AWAY and self._asked == asked:
                self._asked = (asked + 1) % len(self._transports)
            raise
