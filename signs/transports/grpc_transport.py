"""TF Serving's gRPC API, as a client's transport."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from signs import protos, tensors
from signs.transports.transport import (
    ClientError,
    Target,
    Tls,
    TransportError,
    UnexpectedAnswerError,
)

_LOOPBACK = ("127.", "localhost", "[::1]")
# A server that has just started is found by the next attempt, not a second later.
_FIRST_RECONNECT_MS = 100
_LAST_RECONNECT_MS = 2000


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
        host, colon, port = address.rpartition(":")
        is_tcp = bool(host and colon and port.isdecimal() and 0 < int(port) < 65536)
        if not is_tcp and not address.startswith("unix:"):
            raise ClientError(f'`address` must be "host:port". Received: "{address}"')
        self._target = target
        options = [
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
            ("grpc.min_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", _LAST_RECONNECT_MS),
        ]
        if address.startswith(_LOOPBACK):
            options.append(("grpc.enable_http_proxy", 0))
        self._channel = (
            grpc.insecure_channel(address, options)
            if tls is None
            else grpc.secure_channel(address, _credentials(tls), options)
        )
        self._predictions = protos.PredictionServiceStub(self._channel)
        self._models = protos.ModelServiceStub(self._channel)

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        timeout_s: float,
    ) -> dict[str, np.ndarray]:
        """See `Transport`."""
        request = protos.PredictRequest(output_filter=outputs)
        self._fill_spec(request.model_spec)
        request.model_spec.signature_name = signature
        if self._target.client_id:
            request.client_id = self._target.client_id
        for name, array in inputs.items():
            tensors.encode(array, request.inputs[name])
        response = _call(self._predictions.Predict, request, timeout_s)
        return {name: _decoded(name, response.outputs[name]) for name in outputs}

    def status(self, timeout_s: float) -> Any:
        """See `Transport`."""
        request = protos.GetModelStatusRequest()
        self._fill_spec(request.model_spec)
        return _call(self._models.GetModelStatus, request, timeout_s)

    def metadata(self, timeout_s: float) -> tuple[int, Any]:
        """See `Transport`."""
        request = protos.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._fill_spec(request.model_spec)
        response = _call(self._predictions.GetModelMetadata, request, timeout_s)
        signatures = protos.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return response.model_spec.version.value, signatures

    def close(self) -> None:
        """See `Transport`."""
        self._channel.close()

    def _fill_spec(self, spec: Any) -> None:
        spec.name = self._target.model_name
        if self._target.version is not None:
            spec.version.value = self._target.version
        elif self._target.label is not None:
            spec.version_label = self._target.label


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        *(None if file is None else file.read_bytes() for file in (tls.ca, tls.key, tls.cert))
    )


def _call(rpc: Callable[..., Any], request: Any, timeout_s: float) -> Any:
    try:
        return rpc(request, timeout=timeout_s)
    except grpc.RpcError as error:
        raise TransportError(error.code(), error.details() or "") from error


def _decoded(name: str, proto: Any) -> np.ndarray:
    try:
        return tensors.decode(proto)
    except tensors.TensorError as error:
        raise UnexpectedAnswerError(f'output "{name}": {error}') from error
