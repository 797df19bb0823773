"""TF Serving's gRPC API, as a client's transport: blocking, and for asyncio."""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from signs import protos, tensors
from signs.transports.loopback import is_loopback
from signs.transports.probe import place_of
from signs.transports.transport import (
    NO_HEADERS,
    ClientError,
    Headers,
    Target,
    Tls,
    TransportError,
    UnexpectedAnswerError,
)

# A server that has just started is found by the next attempt, not a second later.
_FIRST_RECONNECT_MS = 100
_LAST_RECONNECT_MS = 2000
# What an attempt to connect may take, though gRPC calls it the shortest pause. A server that is far
# away or busy takes more than the first pause; one that is switched off is given up after it.
_CONNECT_MS = 3000


class GrpcTransport:
    """One channel; it connects when first used.

    Args:
        address: "host:port", or "unix:path".
        target: whom to ask.
        tls: encrypts; None does not.
        max_message_bytes: the largest request or answer.

    Raises:
        ClientError: an address that is none.
    """

    def __init__(
        self, address: str, target: Target, tls: Tls | None, max_message_bytes: int
    ) -> None:
        _check(address)
        self._requests = _Requests(target)
        self._channel = _channel(grpc, address, tls, max_message_bytes)
        self._predictions = protos.PredictionServiceStub(self._channel)
        self._models = protos.ModelServiceStub(self._channel)

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
        request = self._requests.predict(signature, inputs, outputs, optional, label)
        with _refusals():
            response = self._predictions.Predict(request, timeout_s, metadata=[*headers.items()])
        return _outputs(response, outputs, optional)

    def status(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> protos.GetModelStatusResponse:
        """See `Transport`."""
        request = self._requests.status()
        with _refusals():
            return self._models.GetModelStatus(request, timeout_s, metadata=[*headers.items()])

    def metadata(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> tuple[int, protos.SignatureDefMap]:
        """See `Transport`."""
        request, ask = self._requests.metadata(), self._predictions.GetModelMetadata
        with _refusals():
            response = ask(request, timeout_s, metadata=[*headers.items()])
        return _signatures(response)

    def close(self) -> None:
        """See `Transport`."""
        self._channel.close()


class AsyncGrpcTransport:
    """The same over `grpc.aio`; it belongs to the event loop that first uses it."""

    def __init__(
        self, address: str, target: Target, tls: Tls | None, max_message_bytes: int
    ) -> None:
        _check(address)
        self._requests = _Requests(target)
        self._make_channel = functools.partial(_channel, grpc.aio, address, tls, max_message_bytes)

    # Not in the constructor: a channel of grpc.aio takes the loop that runs when it is made.
    @functools.cached_property
    def _channel(self) -> Any:
        return self._make_channel()

    @functools.cached_property
    def _predictions(self) -> Any:
        return protos.PredictionServiceStub(self._channel)

    @functools.cached_property
    def _models(self) -> Any:
        return protos.ModelServiceStub(self._channel)

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
        request = self._requests.predict(signature, inputs, outputs, optional, label)
        ask = self._predictions.Predict
        with _refusals():
            response = await ask(request, timeout=timeout_s, metadata=[*headers.items()])
        return _outputs(response, outputs, optional)

    async def status(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> protos.GetModelStatusResponse:
        """See `Transport`."""
        request, ask = self._requests.status(), self._models.GetModelStatus
        with _refusals():
            return await ask(request, timeout=timeout_s, metadata=[*headers.items()])

    async def metadata(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> tuple[int, protos.SignatureDefMap]:
        """See `Transport`."""
        request, ask = self._requests.metadata(), self._predictions.GetModelMetadata
        with _refusals():
            response = await ask(request, timeout=timeout_s, metadata=[*headers.items()])
        return _signatures(response)

    async def close(self) -> None:
        """See `Transport`."""
        if "_channel" in vars(self):
            await self._channel.close()


class _Requests:
    """What is sent to one target."""

    def __init__(self, target: Target) -> None:
        self._client_id = target.client_id
        self._spec = protos.ModelSpec(name=target.model_name)
        if target.version is not None:
            self._spec.version.value = target.version
        elif target.label is not None:
            self._spec.version_label = target.label

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        optional: Sequence[str],
        label: str | None,
    ) -> protos.PredictRequest:
        # A filter must not name what the model lacks; without one, all outputs come.
        wanted = () if optional else outputs
        request = protos.PredictRequest(model_spec=self._spec, output_filter=wanted)
        request.model_spec.signature_name = signature
        if label is not None:
            request.model_spec.version_label = label
        if self._client_id:
            request.client_id = self._client_id
        for name, array in inputs.items():
            tensors.encode(array, request.inputs[name])
        return request

    def status(self) -> protos.GetModelStatusRequest:
        return protos.GetModelStatusRequest(model_spec=self._spec)

    def metadata(self) -> protos.GetModelMetadataRequest:
        return protos.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=["signature_def"]
        )


def _check(address: str) -> None:
    host, colon, port = address.rpartition(":")
    is_tcp = bool(host and colon and port.isdecimal() and 0 < int(port) < 65536)
    if not is_tcp and not address.startswith("unix:"):
        raise ClientError(f'`address` must be "host:port". Received: "{address}"')


def _channel(module: Any, address: str, tls: Tls | None, max_message_bytes: int) -> Any:
    """A channel of `grpc` or of `grpc.aio`."""
    options = [
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", _LAST_RECONNECT_MS),
        # A connection of its own, and not that of other clients of this process.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    place = place_of(address, is_encrypted=tls is not None)
    if place is not None and is_loopback(place.host):
        options.append(("grpc.enable_http_proxy", 0))
    if tls is None:
        return module.insecure_channel(address, options)
    return module.secure_channel(address, _credentials(tls), options)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        *(None if file is None else file.read_bytes() for file in (tls.ca, tls.key, tls.cert))
    )


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise TransportError(error.code(), error.details() or "") from error


def _outputs(
    response: protos.PredictResponse, names: Sequence[str], optional: Sequence[str]
) -> dict[str, np.ndarray]:
    arrays = {}
    for name in [*names, *(name for name in optional if name in response.outputs)]:
        try:
            arrays[name] = tensors.decode(response.outputs[name])
        except tensors.TensorError as error:
            raise UnexpectedAnswerError(f'output "{name}": {error}') from error
    return arrays


def _signatures(
    response: protos.GetModelMetadataResponse,
) -> tuple[int, protos.SignatureDefMap]:
    signatures = protos.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return response.model_spec.version.value, signatures
