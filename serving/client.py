"""A typed client of any TF Serving: images in, predictions out, over gRPC.

    with Client("127.0.0.1:8500") as client:
        for prediction in client.predict("photos/"):
            print(prediction.source, prediction.class_name, prediction.probability)

    paths, bytes, arrays -> serving.images -> batches -> Predict(serve_images) -> Prediction

It needs no TensorFlow and starts in a fraction of a second.
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from modules import features
from modules.errors import UserError
from serving import protos, tensors
from serving.images import Images, InputError, read_images

DEFAULT_ADDRESS = "127.0.0.1:8500"
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_POLL_S = 0.1
# What a request weighs beyond its images: names, dtypes, the length before each string.
_BYTES_BESIDE_IMAGES = 1024
_BYTES_BESIDE_IMAGE = 16
_LOOPBACK = ("127.", "localhost", "[::1]")


class ClientError(UserError):
    """A request that got no answer; the text says why and what to do.

    Attributes:
        code: the gRPC status the server or the connection gave; None if nothing was sent.
    """

    def __init__(self, message: str, code: grpc.StatusCode | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Prediction:
    """The model's answer for one image.

    Args:
        source: the image's path, or "input 3" for the fourth input that was no path.
        class_id: index of the most probable class.
        class_name: its name.
        probabilities: one for each class, in [0, 1], summing to 1.
    """

    source: str
    class_id: int
    class_name: str
    probabilities: tuple[float, ...]

    @property
    def probability(self) -> float:
        """The probability of the class that was predicted."""
        return self.probabilities[self.class_id]


@dataclass(frozen=True)
class VersionStatus:
    """A version of the model on the server.

    Args:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error_message: why it failed; empty if nothing went wrong.
    """

    version: int
    state: str
    error_message: str = ""


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature; a size of -1, or a shape of None, may be anything."""

    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Signature:
    """What goes in and what comes out, by name."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclass(frozen=True)
class Metadata:
    """The version that answers and its signatures, by name."""

    version: int
    signatures: Mapping[str, Signature]


class Client:
    """A connection to one model of a model server; it connects when first used.

    Args:
        address: "host:port", or "unix:path".
        model_name: the name the server knows the model by.
        version: the version to ask; None asks the newest.
        timeout_s: seconds for one request (one batch of images), with all its retries.
        max_attempts: how often a request is sent while the server is unavailable.
        batch_size: the most images in one request.
        max_message_bytes: the largest request or answer.

    Raises:
        ClientError: an address that is none, or a number that makes no sense.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        model_name: str = "signs",
        version: int | None = None,
        timeout_s: float = 10.0,
        max_attempts: int = 5,
        batch_size: int = 32,
        max_message_bytes: int = 64 * 2**20,
    ) -> None:
        host, colon, port = address.rpartition(":")
        is_tcp = bool(host and colon and port.isdecimal() and 0 < int(port) < 65536)
        if not is_tcp and not address.startswith("unix:"):
            raise ClientError(f'`address` must be "host:port". Received: "{address}"')
        for name, value in (
            ("timeout_s", timeout_s),
            ("max_attempts", max_attempts),
            ("batch_size", batch_size),
            ("max_message_bytes", max_message_bytes),
        ):
            if value <= 0:
                raise ClientError(f"`{name}` must be positive. Received: {value}")
        if version is not None and version < 0:
            raise ClientError(f"`version` must not be negative. Received: {version}")
        self.address = address
        self.model_name = model_name
        self._version = version
        self._timeout_s = timeout_s
        self._max_attempts = max_attempts
        self._batch_size = batch_size
        self._max_message_bytes = max_message_bytes
        options = [
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            # A server that has just started is found by the next attempt, not a second later.
            ("grpc.initial_reconnect_backoff_ms", int(_FIRST_PAUSE_S * 1000)),
            ("grpc.min_reconnect_backoff_ms", int(_FIRST_PAUSE_S * 1000)),
            ("grpc.max_reconnect_backoff_ms", int(_LONGEST_PAUSE_S * 1000)),
        ]
        if address.startswith(_LOOPBACK):
            options.append(("grpc.enable_http_proxy", 0))
        self._channel = grpc.insecure_channel(address, options)
        self._predictions = protos.PredictionServiceStub(self._channel)
        self._models = protos.ModelServiceStub(self._channel)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def predict(self, images: Images) -> list[Prediction]:
        """Asks for the class of every image.

        Every input is read and checked before the first request is sent; if a request fails, there
        is no partial result.

        Args:
            images: one input or an iterable of them: paths of files or folders, encoded image
                bytes, uint8 arrays [height, width, 3] or [number, height, width, 3].

        Returns:
            One prediction for each image, in the order of the inputs.

        Raises:
            ClientError: an input that is no image, no server, no such model, no answer in time, or
                what else the server refused.
        """
        try:
            pairs = read_images(images)
        except InputError as error:
            raise ClientError(str(error)) from error
        predictions: list[Prediction] = []
        for batch in self._batches(pairs):
            predictions += self._predict_batch(batch)
        return predictions

    def status(self) -> list[VersionStatus]:
        """The model's versions on the server, newest first.

        Raises:
            ClientError: as for `predict`.
        """
        return self._status(time.monotonic() + self._timeout_s, self._max_attempts)

    def metadata(self) -> Metadata:
        """The version that answers, and its signatures.

        Raises:
            ClientError: as for `predict`.
        """
        request = protos.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._fill_spec(request.model_spec)
        response = self._call(self._predictions.GetModelMetadata, request)
        signatures = protos.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return Metadata(
            response.model_spec.version.value,
            {
                name: Signature(_tensor_infos(entry.inputs), _tensor_infos(entry.outputs))
                for name, entry in signatures.signature_def.items()
            },
        )

    def wait_until_available(self, timeout_s: float = 60.0) -> int:
        """Waits for the server to start and the model to be loaded.

        Args:
            timeout_s: seconds to wait at most.

        Returns:
            The newest version that is available (the client's own, if it has one).

        Raises:
            ClientError: it was not available in time; the text says what was seen last.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            seen = "no answer"
            try:
                statuses = self._status(deadline, attempts=1)
                available = [s.version for s in statuses if s.state == "AVAILABLE"]
                if available:
                    return max(available)
                seen = "; ".join(
                    f"version {s.version} is {s.state} {s.error_message}".rstrip() for s in statuses
                )
            except ClientError as error:
                seen = str(error)
            if time.monotonic() + _POLL_S >= deadline:
                raise ClientError(
                    f"{self.model_name} was not available at {self.address} within "
                    f"{timeout_s:g} s: {seen}",
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                )
            time.sleep(_POLL_S)

    def _batches(self, pairs: Sequence[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
        """Cuts the images into requests of at most `batch_size` images and the largest message."""
        room = self._max_message_bytes - _BYTES_BESIDE_IMAGES
        batch: list[tuple[str, bytes]] = []
        size = 0
        for source, image in pairs:
            weight = len(image) + _BYTES_BESIDE_IMAGE
            if weight > room:
                raise ClientError(
                    f"{source}: {len(image)} bytes do not fit a message of "
                    f"{self._max_message_bytes} bytes: make the image smaller, or raise "
                    "`max_message_bytes`."
                )
            if batch and (len(batch) == self._batch_size or size + weight > room):
                yield batch
                batch, size = [], 0
            batch.append((source, image))
            size += weight
        yield batch

    def _predict_batch(self, batch: Sequence[tuple[str, bytes]]) -> list[Prediction]:
        outputs = (
            features.PROBABILITIES,
            features.PREDICTED_CLASS_ID,
            features.PREDICTED_CLASS_NAME,
        )
        request = protos.PredictRequest(output_filter=outputs)
        self._fill_spec(request.model_spec)
        request.model_spec.signature_name = features.SERVE_IMAGES
        tensor = request.inputs[features.IMAGES_INPUT]
        tensor.dtype = protos.DataType.DT_STRING
        tensor.tensor_shape.dim.add().size = len(batch)
        tensor.string_val.extend(image for _, image in batch)
        response = self._call(self._predictions.Predict, request)
        rows = [self._rows(response, name, len(batch)) for name in outputs]
        return [
            Prediction(
                source=source,
                class_id=int(class_id),
                class_name=class_name.decode(),
                probabilities=tuple(float(p) for p in probabilities),
            )
            for (source, _), probabilities, class_id, class_name in zip(batch, *rows, strict=True)
        ]

    def _rows(self, response: Any, name: str, count: int) -> np.ndarray:
        try:
            array = tensors.decode(response.outputs[name])
        except tensors.TensorError as error:
            raise self._unexpected(f'output "{name}": {error}') from error
        if array.shape[:1] != (count,):
            raise self._unexpected(f'output "{name}" {list(array.shape)} for {count} images')
        return array

    def _unexpected(self, what: str) -> ClientError:
        return ClientError(f"{self.address} answered what no model of signs answers: {what}")

    def _fill_spec(self, spec: Any) -> None:
        spec.name = self.model_name
        if self._version is not None:
            spec.version.value = self._version

    def _status(self, deadline: float, attempts: int) -> list[VersionStatus]:
        request = protos.GetModelStatusRequest()
        self._fill_spec(request.model_spec)
        response = self._call(self._models.GetModelStatus, request, deadline, attempts)
        return sorted(
            (
                VersionStatus(
                    told.version,
                    protos.ModelVersionStatus.State.Name(told.state),
                    told.status.error_message,
                )
                for told in response.model_version_status
            ),
            key=lambda status: -status.version,
        )

    def _call(
        self,
        rpc: Callable[..., Any],
        request: Any,
        deadline: float | None = None,
        attempts: int | None = None,
    ) -> Any:
        """Sends a request, again while the server is UNAVAILABLE and there is time.

        Nothing else is tried again: a model that failed once fails again, and a request that took
        too long would take too long again.
        """
        deadline = time.monotonic() + self._timeout_s if deadline is None else deadline
        attempts = self._max_attempts if attempts is None else attempts
        pause = _FIRST_PAUSE_S
        while True:
            attempts -= 1
            try:
                return rpc(request, timeout=max(0.0, deadline - time.monotonic()))
            except grpc.RpcError as error:
                code, details = error.code(), error.details() or ""
                # Half of the pause is left to chance, so that many clients do not come back at
                # once.
                wait = pause * random.uniform(0.5, 1.0)
                unavailable = code is grpc.StatusCode.UNAVAILABLE
                if not unavailable or attempts <= 0 or time.monotonic() + wait >= deadline:
                    raise self._explained(code, details) from error
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _explained(self, code: grpc.StatusCode, details: str) -> ClientError:
        if code is grpc.StatusCode.UNAVAILABLE and re.search("(?i)DNS|resolving", details):
            text = f"The host of {self.address} is unknown: check the address."
        elif code is grpc.StatusCode.UNAVAILABLE and "connect" in details.lower():
            text = (
                f"Nobody answers at {self.address}: start a server with `signs serve`, or name the "
                "address of one that runs."
            )
        elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
            text = (
                f"{self.address} did not answer within {self._timeout_s:g} s: the server is busy, "
                "or `timeout_s` too short."
            )
        else:
            text = f"{self.address} refused: {code.name}: {details}"
        return ClientError(text, code)


def _tensor_infos(infos: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            tensors.dtype_name(info.dtype),
            None
            if info.tensor_shape.unknown_rank
            else tuple(dim.size for dim in info.tensor_shape.dim),
        )
        for name, info in sorted(infos.items())
    }
