"""Typed clients of any TF Serving: images in, predictions out, over gRPC or REST.

    with Client("127.0.0.1:8500") as client:            # REST: Client("http://127.0.0.1:8501")
        for prediction in client.predict("photos/"):
            print(prediction.source, prediction.class_name, prediction.probability)

They need no TensorFlow and are there in a fraction of a second.
"""

from dataclasses import replace

from signs import features
from signs.answers import Metadata, Prediction, Signature, TensorInfo, VersionStatus
from signs.conversation import Conversation, Terms
from signs.images import Images, Unanswered
from signs.traffic import HUNDREDTHS, TRAFFIC, label_for, traffic_label
from signs.transports.grpc_transport import AsyncGrpcTransport, GrpcTransport
from signs.transports.probe import place_of
from signs.transports.several import Several
from signs.transports.token import authorization
from signs.transports.transport import (
    NO_HEADERS,
    AsyncTransport,
    Awaited,
    ClientError,
    Headers,
    Target,
    Tls,
    Transport,
    WithHeaders,
    checked_headers,
)
from signs.versions import VersionError, version_number
from signs.waiting import BLOCKING, ON_LOOP, Waiting, at_once

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Metadata",
    "Prediction",
    "Signature",
    "TensorInfo",
    "Tls",
    "Unanswered",
    "VersionStatus",
    "connect",
]

DEFAULT_ADDRESS = f"127.0.0.1:{features.GRPC_PORT}"
_MAX_MESSAGE_BYTES = 16 * 2**20


def connect(
    address: str,
    target: Target,
    *,
    tls: Tls | None = None,
    headers: Headers = NO_HEADERS,
    max_message_bytes: int = _MAX_MESSAGE_BYTES,
) -> Transport:
    """The transport for an address: REST where it begins with http: or https:, gRPC elsewhere.

    Args:
        address: as for `Client`.
        target: whom to ask.
        tls: as for `Client`.
        headers: what goes with every request.
        max_message_bytes: the largest request or answer.

    Raises:
        ClientError: an address that is none.
    """
    transport: Transport
    if _is_rest(address):
        # Not above: who speaks gRPC need not wait for the HTTP library.
        from signs.transports.rest_transport import RestTransport

        transport = RestTransport(address, target, tls, max_message_bytes)
    else:
        transport = GrpcTransport(address, target, tls, max_message_bytes)
    return WithHeaders(transport, headers) if headers else transport


def _number(version: int | str | None) -> int | None:
    try:
        return version_number(version) if isinstance(version, str) else version
    except VersionError as err:
        raise ClientError(str(err)) from err


class _Connection:
    """What both clients are made of."""

    _waiting: Waiting

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        model_name: str = "signs",
        version: int | str | None = None,
        label: str | None = None,
        tls: Tls | None = None,
        token: str | None = None,
        plain_token: bool = False,
        timeout_s: float = 10.0,
        metadata: Headers | None = None,
        max_attempts: int = 5,
        batch_size: int = 32,
        max_message_bytes: int = _MAX_MESSAGE_BYTES,
    ) -> None:
        for name, value in (
            ("max_attempts", max_attempts),
            ("batch_size", batch_size),
            ("max_message_bytes", max_message_bytes),
        ):
            if value <= 0:
                raise ClientError(f"`{name}` must be positive. Received: {value}")
        self.address = address
        self.model_name = model_name
        addresses = [address] if address.startswith("unix:") else address.split(",")
        headers = {
            **authorization(token, address, encrypted=tls is not None, plain=plain_token),
            **checked_headers(metadata),
        }
        self._terms = Terms(timeout_s, max_attempts, headers)
        target = Target(model_name, _number(version), label)
        self._by_traffic = label == TRAFFIC
        if self._by_traffic:  # what is no prediction asks the version that has the last hundredth
            target = replace(target, label=traffic_label(HUNDREDTHS - 1))
        transports = [
            self._transport(one.strip(), target, tls, max_message_bytes) for one in addresses
        ]
        is_one = len(transports) == 1
        transport = transports[0] if is_one else Several(transports)
        place = place_of(address, is_encrypted=tls is not None) if is_one else None
        self._conversation = Conversation(
            transport,
            self._waiting,
            address,
            place,
            target,
            batch_size,
            max_message_bytes,
            self._by_traffic,
        )

    def _transport(
        self, address: str, target: Target, tls: Tls | None, max_message_bytes: int
    ) -> AsyncTransport:
        if self._waiting is ON_LOOP and not _is_rest(address):
            return AsyncGrpcTransport(address, target, tls, max_message_bytes)
        blocking = connect(address, target, tls=tls, max_message_bytes=max_message_bytes)
        return Awaited(blocking, self._waiting)

    def _terms_of(
        self, timeout_s: float | None, metadata: Headers | None, key: str | None = None
    ) -> Terms:
        """The client's own terms, with what one call has for itself."""
        return Terms(
            self._terms.timeout_s if timeout_s is None else timeout_s,
            self._terms.attempts,
            {**self._terms.headers, **checked_headers(metadata)},
            _label_of(key) if self._by_traffic and key is not None else None,
        )


class Client(_Connection):
    """A connection to one model of a model server; it connects when first used.

    Threads may share it.

    Args:
        address: "host:port" or "unix:path" (gRPC), "http://host:port" or "https://..." (REST).
            Of several servers, as in "one:8500,other:8500", the first is asked, and where it is
            away the next.
        model_name: the name the server knows the model by.
        version: the version to ask, 3 or "v3"; None asks the newest.
        label: the label of the version to ask, such as "stable". With "traffic" each request asks
            the version that has its share of the requests (`signs promote --share`): the same
            pictures always the same one, as long as no label moves.
        tls: encrypts a connection over gRPC; names the certificates for https.
        token: goes with every request (`authorization: Bearer ...`), to this machine or encrypted.
        plain_token: whether it may also go to another machine without encryption.
        timeout_s: seconds for one request (one batch of images), with all its retries.
        metadata: what goes with every request, as gRPC metadata or HTTP headers, by lower-case
            names.
        max_attempts: how often a request is sent while the server is away: UNAVAILABLE, or
            CANCELLED as it ends.
        batch_size: the most images in one request.
        max_message_bytes: the largest request or answer.

    Raises:
        ClientError: an address that is none, a number or a name that makes no sense, or a token
            that may not go there.
    """

    _waiting = BLOCKING

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        at_once(self._conversation.close())

    def predict(
        self,
        images: Images,
        *,
        timeout_s: float | None = None,
        metadata: Headers | None = None,
        key: str | None = None,
    ) -> list[Prediction]:
        """Asks for the class of every image.

        Every input is read and checked before the first request is sent; if a request fails, there
        is no partial result.

        Args:
            images: one input or an iterable of them: paths of files or folders, encoded image
                bytes, uint8 arrays [height, width, 3] or [number, height, width, 3].
            timeout_s: instead of the client's own.
            metadata: what goes with these requests, on top of the client's own.
            key: with the label "traffic", chooses the version instead of the pictures: a user's
                name, say, so that the user meets one version.

        Returns:
            One prediction for each image, in the order of the inputs.

        Raises:
            ClientError: an input that is no image, no server, no such model, no answer in time, or
                what else the server refused.
        """
        terms = self._terms_of(timeout_s, metadata, key)
        return at_once(self._conversation.predict(images, terms))

    def predict_each(
        self,
        images: Images,
        *,
        timeout_s: float | None = None,
        metadata: Headers | None = None,
        key: str | None = None,
    ) -> list[Prediction | Unanswered]:
        """Asks for the class of every image, and goes on where one cannot be answered.

        Args:
            images: as for `predict`.
            timeout_s: instead of the client's own.
            metadata: what goes with these requests, on top of the client's own.
            key: as for `predict`.

        Returns:
            In the order of the inputs a Prediction for each image, or why there is none: a file
            that is no image or a damaged one, an image that the server refuses alone.

        Raises:
            ClientError: as for `predict`, but for that; there is not a single image; or the server
                refuses all of them.
        """
        terms = self._terms_of(timeout_s, metadata, key)
        return at_once(self._conversation.predict_each(images, terms))

    def status(
        self, *, timeout_s: float | None = None, metadata: Headers | None = None
    ) -> list[VersionStatus]:
        """The model's versions on the server, newest first; a label is not looked at.

        Raises:
            ClientError: as for `predict`.
        """
        return at_once(self._conversation.status(self._terms_of(timeout_s, metadata)))

    def metadata(
        self, *, timeout_s: float | None = None, metadata: Headers | None = None
    ) -> Metadata:
        """The version that answers, and its signatures.

        Raises:
            ClientError: as for `predict`.
        """
        return at_once(self._conversation.metadata(self._terms_of(timeout_s, metadata)))

    def wait_until_available(
        self, timeout_s: float = 60.0, *, metadata: Headers | None = None
    ) -> int:
        """Waits for the server to start and the model to be loaded.

        Args:
            timeout_s: seconds to wait at most.
            metadata: what goes with these requests, on top of the client's own.

        Returns:
            The newest version that is available, or the one that the client asks.

        Raises:
            ClientError: it was not available in time; the text says what was seen last.
        """
        terms = self._terms_of(timeout_s, metadata)
        return at_once(self._conversation.wait_until_available(terms))


class AsyncClient(_Connection):
    """`Client` for asyncio: takes the same arguments, and what it answers is awaited.

        async with AsyncClient("127.0.0.1:8500") as client:
            predictions = await client.predict("photos/")

    It belongs to the event loop that first uses it. Over REST its requests run in threads.
    """

    _waiting = ON_LOOP

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection."""
        await self._conversation.close()

    async def predict(
        self,
        images: Images,
        *,
        timeout_s: float | None = None,
        metadata: Headers | None = None,
        key: str | None = None,
        max_in_flight: int = 4,
    ) -> list[Prediction]:
        """See `Client.predict`; requests beyond the first batch are sent before it is answered.

        Args:
            images: as there.
            timeout_s: as there.
            metadata: as there.
            key: as there.
            max_in_flight: the most requests at the same time.
        """
        terms = self._terms_of(timeout_s, metadata, key)
        return await self._conversation.predict(images, terms, _positive(max_in_flight))

    async def predict_each(
        self,
        images: Images,
        *,
        timeout_s: float | None = None,
        metadata: Headers | None = None,
        key: str | None = None,
        max_in_flight: int = 4,
    ) -> list[Prediction | Unanswered]:
        """See `Client.predict_each` and, for `max_in_flight`, `predict`."""
        terms = self._terms_of(timeout_s, metadata, key)
        return await self._conversation.predict_each(images, terms, _positive(max_in_flight))

    async def status(
        self, *, timeout_s: float | None = None, metadata: Headers | None = None
    ) -> list[VersionStatus]:
        """See `Client.status`."""
        return await self._conversation.status(self._terms_of(timeout_s, metadata))

    async def metadata(
        self, *, timeout_s: float | None = None, metadata: Headers | None = None
    ) -> Metadata:
        """See `Client.metadata`."""
        return await self._conversation.metadata(self._terms_of(timeout_s, metadata))

    async def wait_until_available(
        self, timeout_s: float = 60.0, *, metadata: Headers | None = None
    ) -> int:
        """See `Client.wait_until_available`."""
        terms = self._terms_of(timeout_s, metadata)
        return await self._conversation.wait_until_available(terms)


def _label_of(key: str) -> str:
    if not isinstance(key, str):
        raise ClientError(f"`key` must be a string. Received: {type(key).__name__}")
    return label_for([key.encode(errors="surrogatepass")])


def _positive(max_in_flight: int) -> int:
    if max_in_flight <= 0:
        raise ClientError(f"`max_in_flight` must be positive. Received: {max_in_flight}")
    return max_in_flight


def _is_rest(address: str) -> bool:
    return address.startswith(("http://", "https://"))
