"""What a client does, whichever way it waits: plans requests, asks again, reads answers.

    images -> read_images -> batches -> AsyncTransport.predict -> Prediction

`signs.client` has its two faces, `signs.waiting` the two ways to wait.
"""

import random
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import grpc
import numpy as np

from signs import features, protos, tensors
from signs.answers import Metadata, Prediction, Signature, TensorInfo, VersionStatus
from signs.images import Images, InputError, Unanswered, read_each, read_images
from signs.tracing import client_span
from signs.traffic import TRAFFIC, label_for
from signs.transports.probe import Place, what_it_speaks
from signs.transports.transport import (
    AWAY,
    AsyncTransport,
    ClientError,
    Headers,
    Target,
    TransportError,
    UnexpectedAnswerError,
)
from signs.versions import version_name
from signs.waiting import Waiting

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_POLL_S = 0.1
_LONGEST_S = 10_000_000  # four months; what gRPC counts in has an end
# What a request weighs beyond its images: names, dtypes, the length before each string.
_BYTES_BESIDE_IMAGES = 1024
_BYTES_BESIDE_IMAGE = 48
# What a port that speaks something else may end a request with.
_PERHAPS_ANOTHER = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
)
_ANSWERS = (features.PROBABILITIES, features.PREDICTED_CLASS_ID, features.PREDICTED_CLASS_NAME)
# What models of earlier releases, and of others, do not answer: each with what it is shaped like.
_MORE = {
    features.CLASSES: features.PROBABILITIES,
    features.CONFIDENCE: features.PREDICTED_CLASS_ID,
    features.KNOWN: features.PREDICTED_CLASS_ID,
}
# The model has no such signature, or one that takes and answers something else.
_OF_THE_MODEL = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT, None)
_NO_IMAGES = f'"{features.SERVE_IMAGES}" not found'
_Answer = TypeVar("_Answer")
_Batch = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class Terms:
    """On what terms a request is sent.

    Args:
        timeout_s: seconds for it, with all its retries.
        attempts: how often it is sent while the server is away.
        headers: what goes with it.
        label: whom it asks instead of the client's target.
    """

    timeout_s: float
    attempts: int
    headers: Headers
    label: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= _LONGEST_S:
            raise ClientError(
                f"`timeout_s` must be positive, and {_LONGEST_S:,} at most. "
                f"Received: {self.timeout_s}"
            )


class Conversation:
    """Requests to one target, and what comes back.

    Args:
        transport: takes the requests there.
        waiting: how to wait.
        address: where that is, for the texts of errors.
        place: the same, to find out what speaks there where nothing was understood.
        target: whom to ask.
        batch_size: the most images in one request.
        max_message_bytes: the largest request.
        by_traffic: whether each request asks the label that its pictures, or its terms, name.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        waiting: Waiting,
        address: str,
        place: Place | None,
        target: Target,
        batch_size: int,
        max_message_bytes: int,
        by_traffic: bool = False,
    ) -> None:
        self._transport = transport
        self._waiting = waiting
        self._address = address
        self._place = place
        self._target = target
        self._batch_size = batch_size
        self._max_message_bytes = max_message_bytes
        self._by_traffic = by_traffic
        self._takes_images = True  # until the model says that it has no such signature
        self._names: tuple[str, ...] | None = None  # of all classes, where answers lack them
        self._is_understood = False  # until the first answer
        self._is_closed = False

    async def close(self) -> None:
        """Closes the connection."""
        self._is_closed = True
        await self._transport.close()

    async def predict(self, images: Images, terms: Terms, at_most: int = 1) -> list[Prediction]:
        """See `Client.predict`; `at_most` so many requests are in flight."""
        pairs = await self._read(read_images, images)
        predictions = []
        for answer in await self._ask(pairs, terms, at_most):
            if isinstance(answer, Unanswered):
                raise ClientError(str(answer), grpc.StatusCode.INVALID_ARGUMENT)
            predictions.append(answer)
        return predictions

    async def predict_each(
        self, images: Images, terms: Terms, at_most: int = 1
    ) -> list[Prediction | Unanswered]:
        """See `Client.predict_each`; `at_most` so many requests are in flight."""
        found = await self._read(read_each, images)
        pairs = [item for item in found if not isinstance(item, Unanswered)]
        answers = iter(await self._ask(pairs, terms, at_most))
        return [item if isinstance(item, Unanswered) else next(answers) for item in found]

    async def status(self, terms: Terms) -> list[VersionStatus]:
        """See `Client.status`."""
        response = await self._call(self._transport.status, terms)
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

    async def metadata(self, terms: Terms) -> Metadata:
        """See `Client.metadata`."""
        version, signatures = await self._call(self._transport.metadata, terms)
        return Metadata(
            version,
            {
                name: Signature(_tensor_infos(entry.inputs), _tensor_infos(entry.outputs))
                for name, entry in signatures.signature_def.items()
            },
        )

    async def wait_until_available(self, terms: Terms) -> int:
        """See `Client.wait_until_available`."""
        deadline = time.monotonic() + terms.timeout_s
        seen = ""
        while True:
            left_s = max(1e-3, deadline - time.monotonic())
            try:
                once = Terms(left_s, 1, terms.headers)
                if self._target.label is not None:
                    return (await self.metadata(once)).version
                statuses = await self.status(once)
                available = [s.version for s in statuses if s.state == "AVAILABLE"]
                if available:
                    return max(available)
                seen = "; ".join(
                    f"{version_name(s.version)} is {s.state} {s.error_message}".rstrip()
                    for s in statuses
                )
            except ClientError as error:
                # The last question may have had no time; what was said before says more.
                if not (seen and error.code is grpc.StatusCode.DEADLINE_EXCEEDED):
                    seen = str(error)
            if time.monotonic() + _POLL_S >= deadline:
                raise ClientError(
                    f"{self._target.model_name} was not available at {self._address} within "
                    f"{terms.timeout_s:g} s: {seen}",
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                )
            await self._waiting.pause(_POLL_S)

    async def _read(self, read: Callable[[Images], _Answer], images: Images) -> _Answer:
        try:
            return await self._waiting.work(read, images)
        except InputError as error:
            raise ClientError(str(error)) from error

    async def _ask(
        self, pairs: _Batch, terms: Terms, at_most: int
    ) -> list[Prediction | Unanswered]:
        """The answers for all images, in their order.

        Raises:
            ClientError: also where the server refuses every image of a request: then something
                else is wrong.
        """
        batches = list(self._batches(pairs))
        answers = await self._waiting.each(
            lambda batch: self._answers(batch, terms, len(batches) == 1), batches, at_most
        )
        return [answer for batch in answers for answer in batch]

    async def _answers(
        self, batch: _Batch, terms: Terms, is_only: bool
    ) -> list[Prediction | Unanswered]:
        """Asks for a batch; where it is refused for what it holds, for each image by itself."""
        try:
            return [*await self._predict_batch(batch, terms)]
        except ClientError as error:
            if error.code is not grpc.StatusCode.INVALID_ARGUMENT or (len(batch) == 1 and is_only):
                raise
            refusal = error
        if len(batch) == 1:
            return [Unanswered(batch[0][0], str(refusal))]
        answers = [answer for pair in batch for answer in await self._answers([pair], terms, False)]
        if all(isinstance(answer, Unanswered) for answer in answers):
            raise refusal
        return answers

    def _batches(self, pairs: _Batch) -> Iterator[_Batch]:
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

    async def _predict_batch(self, batch: _Batch, terms: Terms) -> list[Prediction]:
        if self._by_traffic and terms.label is None:
            terms = replace(terms, label=label_for(image for _, image in batch))
        if self._takes_images:
            try:
                return await self._serve_images(batch, terms)
            except ClientError as error:
                if _NO_IMAGES not in str(error):
                    raise
                self._takes_images = False
        return await self._classify(batch, terms)

    async def _serve_images(self, batch: _Batch, terms: Terms) -> list[Prediction]:
        inputs = {features.IMAGES_INPUT: np.array([image for _, image in batch], object)}
        outputs = await self._run(features.SERVE_IMAGES, inputs, _ANSWERS, batch, terms, _MORE)
        for name, like in _MORE.items():
            if name in outputs and outputs[name].shape != outputs[like].shape:
                shapes = f"{list(outputs[name].shape)} beside {like} {list(outputs[like].shape)}"
                raise self._unexpected(f'output "{name}" {shapes}')
        predictions = [
            _prediction(source, {name: array[row] for name, array in outputs.items()})
            for row, (source, _) in enumerate(batch)
        ]
        if features.CLASSES in outputs:
            return predictions
        names = await self._class_names(batch, predictions, terms)
        return [replace(prediction, class_names=names) for prediction in predictions]

    async def _class_names(
        self, batch: _Batch, predictions: Sequence[Prediction], terms: Terms
    ) -> tuple[str, ...]:
        """The names of all classes, for predictions of a model that does not tell them with each.

        They are asked for once; () where the model does not tell them at all.
        """
        is_another = self._names and not _fit(self._names, predictions)
        if self._names is None or is_another:
            try:
                [classified] = await self._classify(batch[:1], terms)
                self._names = classified.class_names
            except ClientError as error:
                if error.code not in _OF_THE_MODEL:
                    raise
                self._names = ()
        return self._names if _fit(self._names, predictions) else ()

    async def _classify(self, batch: _Batch, terms: Terms) -> list[Prediction]:
        """Asks for the classes by the contract that TF Serving has for them."""
        examples = [_example(image) for _, image in batch]
        inputs = {features.CLASSIFY_INPUT: np.array(examples, object)}
        outputs = await self._run(
            features.CLASSIFY, inputs, (features.CLASSES, features.SCORES), batch, terms
        )
        classes, scores = outputs[features.CLASSES], outputs[features.SCORES]
        if classes.shape != scores.shape or classes.ndim != 2 or not classes.size:
            raise self._unexpected(
                f"classes {list(classes.shape)} and scores {list(scores.shape)} for {len(batch)} "
                "images"
            )
        predictions = []
        for (source, _), names, probabilities in zip(batch, classes, scores, strict=True):
            told = tuple(name.decode() for name in names)
            best = int(probabilities.argmax())
            predictions.append(
                Prediction(source, best, told[best], tuple(probabilities.tolist()), told)
            )
        return predictions

    async def _run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        names: Sequence[str],
        batch: _Batch,
        terms: Terms,
        optional: Collection[str] = (),
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature, with a row for each image."""
        told: dict[str, str | int] = {"model.name": self._target.model_name, "images": len(batch)}
        with client_span(f"signs {signature}", told) as carried:
            outputs = await self._call(
                lambda timeout_s, headers: self._transport.predict(
                    signature, inputs, names, timeout_s, headers, tuple(optional), terms.label
                ),
                replace(terms, headers={**carried, **terms.headers}),
            )
        for name, array in outputs.items():
            if array.shape[:1] != (len(batch),):
                raise self._unexpected(
                    f'output "{name}" {list(array.shape)} for {len(batch)} images'
                )
        return outputs

    async def _call(
        self, ask: Callable[[float, Headers], Awaitable[_Answer]], terms: Terms
    ) -> _Answer:
        """Sends a request, again while the server is away and there is time.

        A server that ends says UNAVAILABLE; of what comes in that very moment gRPC says that it is
        CANCELLED. Nothing else is tried again: a model that failed once fails again, and a request
        that took too long would take too long again.
        """
        deadline = time.monotonic() + terms.timeout_s
        attempts = terms.attempts
        pause = _FIRST_PAUSE_S
        refusal = None
        while True:
            attempts -= 1
            try:
                answer = await ask(max(0.0, deadline - time.monotonic()), terms.headers)
                self._is_understood = True
                return answer
            except UnexpectedAnswerError as error:
                raise self._unexpected(str(error)) from error
            except TransportError as error:
                if refusal and error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
                    # The time ran out on one more attempt: why it was needed says more.
                    raise await self._explained(refusal, terms) from error
                refusal = error
                # Half of the pause is left to chance, so that many clients do not come back at
                # once.
                wait = pause * random.uniform(0.5, 1.0)
                is_away = error.code in AWAY and not self._is_closed
                if not is_away or attempts <= 0 or time.monotonic() + wait >= deadline:
                    raise await self._explained(error, terms) from error
            await self._waiting.pause(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _unexpected(self, what: str) -> ClientError:
        return ClientError(f"{self._address} answered what no model of signs answers: {what}")

    async def _explained(self, error: TransportError, terms: Terms) -> ClientError:
        address, code, details = self._address, error.code, error.details
        another = None
        if code in _PERHAPS_ANOTHER and not self._is_understood:
            another = await self._waiting.work(what_it_speaks, self._place)
        if another is not None:
            text = another
        elif code is grpc.StatusCode.UNAVAILABLE and re.search("(?i)DNS|resolving", details):
            text = f"The host of {address} is unknown: check the address."
        elif code is grpc.StatusCode.UNAVAILABLE and re.search("(?i)ssl|certificate", details):
            text = (
                f"{address}: no encrypted connection: {details}: check the certificates, and that "
                "the server has TLS."
            )
        elif code is grpc.StatusCode.UNAVAILABLE and "failed to connect" in details.lower():
            text = (
                f"Nobody answers at {address}: start a server with `signs serve`, or name the "
                "address of one that runs."
            )
        elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
            text = (
                f"{address} did not answer within {terms.timeout_s:g} s: the server is busy, or "
                "`timeout_s` too short."
            )
        elif re.search(f"label: {TRAFFIC}-", details):
            text = (
                f"{address} has no shares of {self._target.model_name}: `signs promote` writes "
                "them where no version is stable yet, and `signs serve` where one is."
            )
        else:
            text = f"{address} refused: {code.name}: {details}"
        return ClientError(text, code)


def _prediction(source: str, row: Mapping[str, Any]) -> Prediction:
    """One image's answer, of one row of the outputs."""
    return Prediction(
        source,
        int(row[features.PREDICTED_CLASS_ID]),
        row[features.PREDICTED_CLASS_NAME].decode(),
        tuple(row[features.PROBABILITIES].tolist()),
        class_names=tuple(name.decode() for name in row.get(features.CLASSES, ())),
        confidence=float(row[features.CONFIDENCE]) if features.CONFIDENCE in row else None,
        known=bool(row[features.KNOWN]) if features.KNOWN in row else None,
    )


def _fit(names: Sequence[str], predictions: Sequence[Prediction]) -> bool:
    """Whether these are the classes that the predictions are of, as far as can be told."""
    of_id = dict(enumerate(names))
    return all(
        len(names) == len(one.probabilities) and of_id.get(one.class_id) == one.class_name
        for one in predictions
    )


def _example(image: bytes) -> bytes:
    example = protos.Example()
    example.features.feature[features.IMAGE].bytes_list.value.append(image)
    return example.SerializeToString()


def _tensor_infos(infos: Mapping[str, protos.TensorInfo]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            tensors.dtype_name(info.dtype),
            None
            if info.tensor_shape.unknown_rank
            else tuple(dim.size for dim in info.tensor_shape.dim),
        )
        for name, info in sorted(infos.items())
    }
