"""TF Serving's REST API, as a client's transport: JSON in column format, bytes in base64.

    POST {url}/v1/models/{model}[/versions/{v}|/labels/{l}]:predict
    GET  {url}/v1/models/{model}[/versions/{v}|/labels/{l}][/metadata]

A status of HTTP stands for several of gRPC; the errors here have the likeliest of them. Source:
tensorflow_serving/model_servers/http_server.cc, http_rest_api_util.cc, util/json_tensor.cc.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import grpc
import numpy as np
import urllib3
from google.protobuf import json_format
from urllib3 import exceptions

from signs import protos
from signs.transports.transport import (
    NO_HEADERS,
    ClientError,
    Headers,
    Target,
    Tls,
    TransportError,
    UnexpectedAnswerError,
)

_Message = TypeVar("_Message", bound=protos.Message)
_CONNECTIONS = 32  # that are kept; threads may use more
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    421: grpc.StatusCode.PERMISSION_DENIED,  # not under this name
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    502: grpc.StatusCode.UNAVAILABLE,  # of a proxy whose server is away
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_OF_OTHERS = (404, 405, 501)  # of a web server that knows no models


class RestTransport:
    """A pool of connections; it connects when first used.

    Args:
        url: "http://host:port" or "https://host:port", before "/v1/models".
        target: whom to ask.
        tls: for https, whom to trust and who the client is.
        max_message_bytes: the largest answer.

    Raises:
        ClientError: an address that is none, or TLS over plain http.
    """

    def __init__(self, url: str, target: Target, tls: Tls | None, max_message_bytes: int) -> None:
        try:
            parts = urllib3.util.parse_url(url)
        except exceptions.LocationParseError:
            parts = urllib3.util.Url()
        if not parts.host or parts.query or parts.fragment or parts.port == 0:
            raise ClientError(f'`address` must be "http://host:port". Received: "{url}"')
        secured: dict[str, Any] = {}
        if parts.scheme == "https":
            tls = tls or Tls()
            secured = {"ca_certs": tls.ca, "cert_file": tls.cert, "key_file": tls.key}
        elif tls is not None:
            raise ClientError(f"TLS needs an address that begins with https:. Received: {url}")
        self._pool = urllib3.connection_from_url(
            url, retries=False, maxsize=_CONNECTIONS, **secured
        )
        self._max_answer_bytes = max_message_bytes
        self._model = f"{(parts.path or '').rstrip('/')}/v1/models/{quote(target.model_name, '')}"
        self._path = self._model
        if target.version is not None:
            self._path += f"/versions/{target.version}"
        elif target.label is not None:
            self._path = self._labelled(target.label)

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
        request = {
            "signature_name": signature,
            "inputs": {name: _to_json(array.tolist()) for name, array in inputs.items()},
        }
        path = self._path if label is None else self._labelled(label)
        body = json.dumps(request).encode()
        answer = self._ask("POST", f"{path}:predict", timeout_s, headers, body)
        found = answer.get("outputs")
        if len(outputs) == 1 and not (isinstance(found, dict) and outputs[0] in found):
            found = {outputs[0]: found}  # a signature's only output has no name
        if not isinstance(found, dict):
            raise UnexpectedAnswerError("no outputs by name")
        names = [*outputs, *(name for name in optional if name in found)]
        return {name: _to_array(name, found) for name in names}

    def status(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> protos.GetModelStatusResponse:
        """See `Transport`."""
        return _to_message(
            self._ask("GET", self._path, timeout_s, headers), protos.GetModelStatusResponse()
        )

    def metadata(
        self, timeout_s: float, headers: Headers = NO_HEADERS
    ) -> tuple[int, protos.SignatureDefMap]:
        """See `Transport`."""
        answer = self._ask("GET", f"{self._path}/metadata", timeout_s, headers)
        spec = _to_message(answer.get("model_spec"), protos.ModelSpec())
        metadata = answer.get("metadata")
        if not isinstance(metadata, dict):
            raise UnexpectedAnswerError("no metadata")
        signatures = _to_message(metadata.get("signature_def"), protos.SignatureDefMap())
        return spec.version.value, signatures

    def close(self) -> None:
        """See `Transport`."""
        self._pool.close()

    def _labelled(self, label: str) -> str:
        return f"{self._model}/labels/{quote(label, '')}"

    def _ask(
        self, method: str, path: str, timeout_s: float, headers: Headers, body: bytes | None = None
    ) -> dict[str, Any]:
        try:
            response = self._pool.request(
                method,
                path,
                body,
                headers={**headers, "content-type": "application/json"} if body else {**headers},
                timeout=max(timeout_s, 1e-3),  # none of zero seconds can be set
                preload_content=False,
            )
            raw = response.read(self._max_answer_bytes + 1)
            response.release_conn()
        except exceptions.HTTPError as error:
            raise _failed(error) from error
        if len(raw) > self._max_answer_bytes:
            response.close()
            raise TransportError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"Received message larger than max ({self._max_answer_bytes} bytes)",
            )
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        if response.status != 200:
            details = answer.get("error") if isinstance(answer, dict) else None
            if not details:
                details = f"HTTP {response.status} {response.reason}"
                if response.status in _OF_OTHERS:
                    details += ", as no model server says it: check the address"
            raise TransportError(_CODES.get(response.status, grpc.StatusCode.UNKNOWN), str(details))
        if not isinstance(answer, dict):
            raise UnexpectedAnswerError("no JSON object")
        return answer


def _failed(error: exceptions.HTTPError) -> TransportError:
    """The words are those that gRPC has for the same."""
    if isinstance(error, exceptions.NameResolutionError):
        return TransportError(grpc.StatusCode.UNAVAILABLE, "DNS resolution failed")
    if isinstance(error, exceptions.NewConnectionError):
        return TransportError(grpc.StatusCode.UNAVAILABLE, f"failed to connect: {error}")
    if isinstance(error, exceptions.TimeoutError):
        return TransportError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    if isinstance(error, exceptions.SSLError):
        return TransportError(grpc.StatusCode.UNAVAILABLE, f"Ssl handshake failed: {error}")
    return TransportError(grpc.StatusCode.UNAVAILABLE, f"Connection broken: {error}")


def _to_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_json(entry) for entry in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _to_array(name: str, outputs: dict[str, Any]) -> np.ndarray:
    if name not in outputs:
        raise UnexpectedAnswerError(f'output "{name}" is missing')
    try:
        values = _from_json(outputs[name])
        # numpy's own strings would lose the zero bytes at their end.
        return np.array(values, object if _holds_bytes(values) else None)
    except ValueError as error:  # rows of unequal length, or base64 that is none
        raise UnexpectedAnswerError(f'output "{name}": {error}') from error


def _holds_bytes(values: Any) -> bool:
    while isinstance(values, list) and values:
        values = values[0]
    return isinstance(values, bytes)


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(entry) for entry in value]
    if isinstance(value, dict):
        return base64.b64decode(value.get("b64", ""))
    return value.encode() if isinstance(value, str) else value


def _to_message(value: Any, message: _Message) -> _Message:
    if not isinstance(value, dict):
        raise UnexpectedAnswerError(f"no {message.DESCRIPTOR.name}")
    try:
        return json_format.ParseDict(value, message, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise UnexpectedAnswerError(str(error)) from error
