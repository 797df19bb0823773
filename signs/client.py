"""A typed client of any TF Serving: images in, predictions out, over gRPC or REST.

    with Client("127.0.0.1:8500") as client:            # REST: Client("http://127.0.0.1:8501")
        for prediction in client.predict("photos/"):
            print(prediction.source, prediction.class_name, prediction.probability)

    paths, bytes, arrays -> signs.images -> batches -> Transport.predict -> Prediction

It needs no TensorFlow and starts in a fraction of a second.
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import grpc
import numpy as np

from signs import features, protos, tensors
from signs.answers import Metadata, Prediction, Signature, TensorInfo, VersionStatus
from signs.images import Images, InputError, read_images
from signs.transports.grpc_transport import GrpcTransport
from signs.transports.transport import (
    ClientError,
    Target,
    Tls,
    Transport,
    TransportError,
    UnexpectedAnswerError,
)

__all__ = [
    "Client",
    "ClientError",
    "Metadata",
    "Prediction",
    "Signature",
    "TensorInfo",
    "Tls",
    "VersionStatus",
    "connect",
]

DEFAULT_ADDRESS = "127.0.0.1:8500"
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_POLL_S = 0.1
# What a request weighs beyond its images: names, dtypes, the length before each string.
_BYTES_BESIDE_IMAGES = 1024
_BYTES_BESIDE_IMAGE = 16
_OUTPUTS = (features.PROBABILITIES, features.PREDICTED_CLASS_ID, features.PREDICTED_CLASS_NAME)
_Answer = TypeVar("_Answer")


def connect(
    address: str, target: Target, *, tls: Tls | None = None, max_message_bytes: int = 64 * 2**20
) -> Transport:
    """The transport for an address: REST where it begins with http: or https:, gRPC elsewhere.

    Raises:
        ClientError: an address that is none.
    """
    if address.startswith(("http://", "https://")):
        # Not above: who speaks gRPC need not wait for the HTTP library.
        from signs.transports.rest_transport import RestTransport

        return RestTransport(address, target, tls, max_message_bytes)
    return GrpcTransport(address, target, tls, max_message_bytes)


class Client:
    """A connection to one model of a model server; it connects when first used.

    Args:
        address: "host:port" or "unix:path" (gRPC), "http://host:port" or "https://..." (REST).
        model_name: the name the server knows the model by.
        version: the version to ask; None asks the newest.
        label: the label of the version to ask, such as "stable".
        tls: encrypts a connection over gRPC; names the certificates for https.
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
        label: str | None = None,
        tls: Tls | None = None,
        timeout_s: float = 10.0,
        max_attempts: int = 5,
        batch_size: int = 32,
        max_message_bytes: int = 64 * 2**20,
    ) -> None:
        for name, value in (
            ("timeout_s", timeout_s),
            ("max_attempts", max_attempts),
            ("batch_size", batch_size),
            ("max_message_bytes", max_message_bytes),
        ):
            if value <= 0:
                raise ClientError(f"`{name}` must be positive. Received: {value}")
        self.address = address
        self.model_name = model_name
        self._label = label
        self._timeout_s = timeout_s
        self._max_attempts = max_attempts
        self._batch_size = batch_size
        self._max_message_bytes = max_message_bytes
        self._transport = connect(
            address,
            Target(model_name, version, label),
            tls=tls,
            max_message_bytes=max_message_bytes,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

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
        """The model's versions on the server, newest first; a label is not looked at.

        Raises:
            ClientError: as for `predict`.
        """
        return self._status(time.monotonic() + self._timeout_s, self._max_attempts)

    def metadata(self) -> Metadata:
        """The version that answers, and its signatures.

        Raises:
            ClientError: as for `predict`.
        """
        return self._metadata(time.monotonic() + self._timeout_s, self._max_attempts)

    def wait_until_available(self, timeout_s: float = 60.0) -> int:
        """Waits for the server to start and the model to be loaded.

        Args:
            timeout_s: seconds to wait at most.

        Returns:
            The newest version that is available, or the one that the client asks.

        Raises:
            ClientError: it was not available in time; the text says what was seen last.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            seen = "no answer"
            try:
                if self._label is not None:
                    return self._metadata(deadline, attempts=1).version
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
        images = np.array([image for _, image in batch], object)
        outputs = self._call(
            lambda timeout_s: self._transport.predict(
                features.SERVE_IMAGES, {features.IMAGES_INPUT: images}, _OUTPUTS, timeout_s
            ),
            time.monotonic() + self._timeout_s,
            self._max_attempts,
        )
        for name, array in outputs.items():
            if array.shape[:1] != (len(batch),):
                raise self._unexpected(
                    f'output "{name}" {list(array.shape)} for {len(batch)} images'
                )
        return [
            Prediction(
                source=source,
                class_id=int(class_id),
                class_name=class_name.decode(),
                probabilities=tuple(float(p) for p in probabilities),
            )
            for (source, _), probabilities, class_id, class_name in zip(
                batch, *(outputs[name] for name in _OUTPUTS), strict=True
            )
        ]

    def _status(self, deadline: float, attempts: int) -> list[VersionStatus]:
        response = self._call(self._transport.status, deadline, attempts)
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

    def _metadata(self, deadline: float, attempts: int) -> Metadata:
        version, signatures = self._call(self._transport.metadata, deadline, attempts)
        return Metadata(
            version,
            {
                name: Signature(_tensor_infos(entry.inputs), _tensor_infos(entry.outputs))
                for name, entry in signatures.signature_def.items()
            },
        )

    def _call(self, ask: Callable[[float], _Answer], deadline: float, attempts: int) -> _Answer:
        """Sends a request, again while the server is UNAVAILABLE and there is time.

        Nothing else is tried again: a model that failed once fails again, and a request that took
        too long would take too long again.
        """
        pause = _FIRST_PAUSE_S
        refusal = None
        while True:
            attempts -= 1
            try:
                return ask(max(0.0, deadline - time.monotonic()))
            except UnexpectedAnswerError as error:
                raise self._unexpected(str(error)) from error
            except TransportError as error:
                if refusal and error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
                    # The time ran out on one more attempt: why it was needed says more.
                    raise self._explained(refusal.code, refusal.details) from error
                refusal = error
                # Half of the pause is left to chance, so that many clients do not come back at
                # once.
                wait = pause * random.uniform(0.5, 1.0)
                unavailable = error.code is grpc.StatusCode.UNAVAILABLE
                if not unavailable or attempts <= 0 or time.monotonic() + wait >= deadline:
                    raise self._explained(error.code, error.details) from error
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _unexpected(self, what: str) -> ClientError:
        return ClientError(f"{self.address} answered what no model of signs answers: {what}")

    def _explained(self, code: grpc.StatusCode, details: str) -> ClientError:
        if code is grpc.StatusCode.UNAVAILABLE and re.search("(?i)DNS|resolving", details):
            text = f"The host of {self.address} is unknown: check the address."
        elif code is grpc.StatusCode.UNAVAILABLE and re.search("(?i)ssl|certificate", details):
            text = (
                f"{self.address}: no encrypted connection: {details}: check the certificates, and "
                "that the server has TLS."
            )
        elif code is grpc.StatusCode.UNAVAILABLE and "failed to connect" in details.lower():
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
