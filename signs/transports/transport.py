"""What the client and its two transports agree on.

Client -> Transport.predict(arrays) -> grpc_transport | rest_transport -> arrays
                                    -> TransportError: a gRPC status, whatever the transport
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
import numpy as np

from signs import protos
from signs.errors import UserError
from signs.waiting import Waiting

Headers = Mapping[str, str]
NO_HEADERS: Headers = {}
# What is told of a server that ends, or is not there: the same request may be answered by another,
# or later.
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
_HEADER_NAME = re.compile("[0-9A-Za-z_.-]+")


class ClientError(UserError):
    """A request that got no answer; the text says why and what to do.

    Attributes:
        code: the status the server or the connection gave; None if nothing was sent.
    """

    def __init__(self, message: str, code: grpc.StatusCode | None = None) -> None:
        super().__init__(message)
        self.code = code


class TransportError(Exception):
    """The server or the connection refused; `details` is the text that came with the status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


class UnexpectedAnswerError(Exception):
    """An answer that does not hold what was asked for."""


@dataclass(frozen=True)
class Target:
    """Whom a request is for: the newest version, or the one of that number or label.

    Args:
        model_name: the name the server knows the model by.
        version: the version's number.
        label: or its label.
        client_id: who asks, in Predict requests over gRPC (REST has no place for it).

    Raises:
        ClientError: both a number and a label, or a number that is none.
    """

    model_name: str
    version: int | None = None
    label: str | None = None
    client_id: bytes = b""

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise ClientError(
                f"Only one of `version` and `label` can be asked. Received: {self.version} "
                f'and "{self.label}"'
            )
        if self.version is not None and self.version < 0:
            raise ClientError(f"`version` must not be negative. Received: {self.version}")


@dataclass(frozen=True)
class Tls:
    """Files, in PEM, that an encrypted connection needs.

    Args:
        ca: whom to trust; None trusts whom the system trusts.
        cert: the client's own certificate, where the server asks for one.
        key: the key that belongs to it.

    Raises:
        ClientError: a certificate without a key or the other way round, or no such file.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ClientError("A client's certificate and its key go together: name both.")
        for file in (self.ca, self.cert, self.key):
            if file is not None and not file.is_file():
                raise ClientError(f"{file}: no such file.")


def checked_headers(metadata: Headers | None) -> Headers:
    """gRPC metadata, or HTTP headers, that can be sent.

    Raises:
        ClientError: what gRPC would not send. The text names no value: it may be a token.
    """
    for name, value in (metadata or {}).items():
        if not _HEADER_NAME.fullmatch(name) or name.endswith("-bin"):
            raise ClientError(
                "`metadata`: a name must be made of letters, digits, -, _ and ., and not end with "
                "-bin."
            )
        if name != name.lower():
            raise ClientError(f'`metadata`: names must be lower-case. Received: "{name}"')
        if not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise ClientError(f'`metadata`: the value of "{name}" must be printable ASCII.')
    return dict(metadata or {})


class Transport(Protocol):
    """A connection to one target; every method takes the seconds it may last.

    Raises, in every method:
        TransportError: what the server or the connection refused.
        UnexpectedAnswerError: something else than a model server of this kind answered.
    """

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        timeout_s: float,
        headers: Headers = NO_HEADERS,
        optional: Sequence[str] = (),
        label: str | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature; strings are `bytes` in object arrays.

        Args:
            signature: its name.
            inputs: an array for each input, by name.
            outputs: the names of the outputs that must be there.
            timeout_s: seconds that it may last.
            headers: what goes with the request.
            optional: the names of outputs that may be there.
            label: is asked instead of the target's version or label.

        Returns:
            The outputs that were asked for, by name, and those `optional` ones that there are.
        """

    def status(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> protos.GetModelStatusResponse:
        """The versions of the model."""

    def metadata(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> tuple[int, protos.SignatureDefMap]:
        """The version that answers and its signatures."""

    def close(self) -> None:
        """Closes the connection."""


class WithHeaders:
    """A transport that sends some headers with every request.

    Args:
        transport: what sends.
        headers: the headers; those of one request go on top.
    """

    def __init__(self, transport: Transport, headers: Headers) -> None:
        self._transport = transport
        self._headers = headers

    def predict(
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
        headers = {**self._headers, **headers}
        return self._transport.predict(
            signature, inputs, outputs, timeout_s, headers, optional, label
        )

    def status(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> protos.GetModelStatusResponse:
        """See `Transport`."""
        return self._transport.status(timeout_s, {**self._headers, **headers})

    def metadata(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> tuple[int, protos.SignatureDefMap]:
        """See `Transport`."""
        return self._transport.metadata(timeout_s, {**self._headers, **headers})

    def close(self) -> None:
        """See `Transport`."""
        self._transport.close()


class AsyncTransport(Protocol):
    """A `Transport` whose answers are awaited."""

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

    async def status(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> protos.GetModelStatusResponse:
        """See `Transport`."""

    async def metadata(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> tuple[int, protos.SignatureDefMap]:
        """See `Transport`."""

    async def close(self) -> None:
        """See `Transport`."""


class Awaited:
    """A blocking transport as an AsyncTransport.

    Args:
        transport: what blocks.
        waiting: what becomes of the caller meanwhile.
    """

    def __init__(self, transport: Transport, waiting: Waiting) -> None:
        self._transport = transport
        self._work = waiting.work

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
        ask = self._transport.predict
        return await self._work(
            ask, signature, inputs, outputs, timeout_s, headers, optional, label
        )

    async def status(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> protos.GetModelStatusResponse:
        """See `Transport`."""
        return await self._work(self._transport.status, timeout_s, headers)

    async def metadata(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> tuple[int, protos.SignatureDefMap]:
        """See `Transport`."""
        return await self._work(self._transport.metadata, timeout_s, headers)

    async def close(self) -> None:
        """See `Transport`."""
        self._transport.close()
