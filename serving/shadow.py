"""Shadow replay: what was asked before is asked again, of two versions, and the answers compared.

request log -> Predict requests of the model -> version A, version B -> Comparison -> reasons

An answer is what people are told: a class, or that the model is not sure (`known` is false).
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc
import numpy as np

from signs import features, protos, tensors
from signs.errors import UserError
from signs.transports.transport import ClientError, Transport, TransportError, UnexpectedAnswerError

_OUTPUTS = (features.PREDICTED_CLASS_NAME, features.PROBABILITIES)
_MORE = (features.KNOWN, features.CONFIDENCE)  # of models that tell them
_CLASSIFIED = (features.CLASSES, features.SCORES)
# What these tell is not the model's answer: the server is away, or has too much to do.
_NO_ANSWER = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


@dataclass(frozen=True)
class Difference:
    """One image that the versions answer differently, or that one of them fails.

    Args:
        asked_at: when it was asked, in UTC.
        request: the request's position in the log, from 0.
        row: the image's position in the request, from 0.
        before: the first version's class, or "error CODE".
        after: the second version's.
        probability_change: the largest change of a class's probability, in [0, 1].
        known_before: whether the first version knows such pictures; None where it does not tell.
        known_after: the second version.
        confidence_before: the first version's confidence, in [0, 1]; None where it tells none.
        confidence_after: the second version's.
    """

    asked_at: datetime
    request: int
    row: int
    before: str
    after: str
    probability_change: float
    known_before: bool | None = None
    known_after: bool | None = None
    confidence_before: float | None = None
    confidence_after: float | None = None


@dataclass(frozen=True)
class Answered:
    """What the answers of one version were like.

    Args:
        not_sure: share of the images that it does not know, in [0, 1]; None where it does not tell.
        confidence: the mean for the images that it knows; None where it tells none.
        p50_ms: the median time of an answer, as its client saw it; 0 without any.
        p99_ms: 99 of 100 came within it.
    """

    not_sure: float | None = None
    confidence: float | None = None
    p50_ms: float = 0.0
    p99_ms: float = 0.0


@dataclass(frozen=True)
class Limits:
    """How far a version may be from the one before.

    Args:
        max_changed: share of images that may be answered differently, in [0, 1].
        max_slower: how many times as long its p50 and its p99 may be; None does not look at them.

    Raises:
        UserError: a number that makes no sense.
    """

    max_changed: float = 0.02
    max_slower: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.max_changed <= 1:
            raise UserError(f"`max_changed` must be in [0, 1]. Received: {self.max_changed}")
        if self.max_slower is not None and not 0 < self.max_slower < math.inf:
            raise UserError(f"`max_slower` must be positive. Received: {self.max_slower}")


@dataclass
class Comparison:
    """What a replay found.

    Args:
        requests: requests that were sent to both versions.
        images: images in them; a request that failed counts as one.
        passed_over: records that are no Predict request of this model.
        max_probability_change: the largest of all images.
        differences: the images whose answer changed.
        before: what the first version's answers were like.
        after: the second version's.
    """

    requests: int = 0
    images: int = 0
    passed_over: int = 0
    max_probability_change: float = 0.0
    differences: list[Difference] = field(default_factory=list)
    before: Answered = Answered()
    after: Answered = Answered()

    @property
    def changed(self) -> float:
        """Share of images whose answer changed, in [0, 1]."""
        return len(self.differences) / self.images if self.images else 0.0

    def reasons(self, limits: Limits) -> list[str]:
        """Why the second version is not as good as the first; [] where it is."""
        if not self.images:
            return ["no request was compared"]
        reasons = []
        if self.changed > limits.max_changed:
            reasons.append(
                f"{100 * self.changed:.1f} % of the images are answered otherwise, more than "
                f"{100 * limits.max_changed:.1f} %"
            )
        for name in ("p50", "p99") if limits.max_slower is not None else ():
            was, now = (getattr(side, f"{name}_ms") for side in (self.before, self.after))
            if now > limits.max_slower * was:
                reasons.append(
                    f"the {name} is {now:.1f} ms, more than {limits.max_slower:g} times "
                    f"{was:.1f} ms"
                )
        return reasons


def replay(
    log: Iterable[protos.PredictionLog],
    model_name: str,
    before: Transport,
    after: Transport,
    *,
    newest: int = 1000,
    timeout_s: float = 30.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Sends logged requests to two versions.

    Args:
        log: PredictionLog records, oldest first.
        model_name: requests to other models are passed over.
        before: the connection to the first version.
        after: to the second.
        newest: so many requests are sent, the newest.
        timeout_s: seconds for one answer.
        progress: called with the number of requests done, and of all.

    Raises:
        ClientError: a version does not answer, or has too much to do to answer.
    """
    comparison = Comparison()
    chosen: deque[tuple[int, protos.PredictionLog]] = deque(maxlen=newest)
    for position, entry in enumerate(log):
        is_ours = entry.predict_log.request.model_spec.name == model_name
        if entry.WhichOneof("log_type") == "predict_log" and is_ours:
            chosen.append((position, entry))
        else:
            comparison.passed_over += 1
    sides = _Side(before), _Side(after)
    for done, (position, entry) in enumerate(chosen):
        request = entry.predict_log.request
        asked_at = datetime.fromtimestamp(entry.log_metadata.timestamp_secs, UTC)
        # In turns: whoever is asked second finds the picture in the processor's caches, say.
        for side in sides if done % 2 == 0 else sides[::-1]:
            side.ask(request, timeout_s)
        _compare(comparison, position, asked_at, *(side.rows for side in sides))
        progress(done + 1, len(chosen))
    comparison.before, comparison.after = (side.answered() for side in sides)
    return comparison


@dataclass(frozen=True)
class _Row:
    """The answer for one image; what fails, or what a model does not tell, is empty."""

    name: str
    probabilities: np.ndarray
    known: bool | None = None
    confidence: float | None = None

    @property
    def told(self) -> str:
        """What people are told: where the model does not know the picture, no class."""
        return "" if self.known is False else self.name


class _Side:
    """One version: asked request by request, with what its answers were like so far."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._latencies_ms: list[float] = []
        self._known: list[bool] = []
        self._confidences: list[float] = []
        self.rows: list[_Row] = []  # of the last request; one where it failed

    def ask(self, request: protos.PredictRequest, timeout_s: float) -> None:
        started = time.perf_counter()
        self.rows = _rows(self._transport, request, timeout_s)
        self._latencies_ms.append(1000 * (time.perf_counter() - started))
        self._known += [row.known for row in self.rows if row.known is not None]
        self._confidences += [
            row.confidence
            for row in self.rows
            if row.confidence is not None and row.known is not False
        ]

    def answered(self) -> Answered:
        # The first one has the making of the connection in it.
        measured = self._latencies_ms[1:] or self._latencies_ms or [0.0]
        p50, p99 = np.percentile(measured, [50, 99])
        return Answered(
            not_sure=1 - float(np.mean(self._known)) if self._known else None,
            confidence=float(np.mean(self._confidences)) if self._confidences else None,
            p50_ms=float(p50),
            p99_ms=float(p99),
        )


def _rows(transport: Transport, request: protos.PredictRequest, timeout_s: float) -> list[_Row]:
    try:
        inputs = {name: tensors.decode(tensor) for name, tensor in request.inputs.items()}
        signature = request.model_spec.signature_name or features.SERVING_DEFAULT
        wanted = _CLASSIFIED if signature == features.CLASSIFY else _OUTPUTS
        more = () if wanted is _CLASSIFIED else _MORE
        outputs = transport.predict(signature, inputs, wanted, timeout_s, optional=more)
    except TransportError as error:
        if error.code in _NO_ANSWER:
            raise ClientError(f"The replay was given up: {error}", error.code) from error
        return [_Row(f"error {error.code.name}", np.empty(0))]
    except (UnexpectedAnswerError, tensors.TensorError):
        return [_Row("error of another kind", np.empty(0))]
    names, probabilities = (outputs[name] for name in wanted)
    if wanted is _CLASSIFIED:  # it names every class, in the order of the probabilities
        names = np.take_along_axis(names, probabilities.argmax(axis=1)[:, None], axis=1)[:, 0]
    told = [outputs[name].tolist() if name in outputs else [None] * len(names) for name in _MORE]
    try:
        answers = list(zip(names, probabilities, *told, strict=True))
    except ValueError:  # not a row for each image
        return [_Row("error of another kind", np.empty(0))]
    return [_Row(name.decode(), *more) for name, *more in answers]


def _compare(
    comparison: Comparison,
    position: int,
    asked_at: datetime,
    before: list[_Row],
    after: list[_Row],
) -> None:
    comparison.requests += 1
    images = max(len(before), len(after))
    comparison.images += images
    for number in range(images):
        # An error stands for every image of its request.
        was, now = _row(before, number), _row(after, number)
        change = _largest_change(was.probabilities, now.probabilities)
        comparison.max_probability_change = max(comparison.max_probability_change, change)
        if was.told != now.told:
            comparison.differences.append(
                Difference(
                    asked_at,
                    position,
                    number,
                    was.name,
                    now.name,
                    change,
                    was.known,
                    now.known,
                    was.confidence,
                    now.confidence,
                )
            )


def _row(rows: list[_Row], number: int) -> _Row:
    return rows[min(number, len(rows) - 1)] if rows else _Row("no answer", np.empty(0))


def _largest_change(before: np.ndarray, after: np.ndarray) -> float:
    """Versions with other classes cannot be compared class by class: that is the largest change."""
    if before.shape != after.shape:
        return 1.0
    return float(np.max(np.abs(before - after), initial=0.0))
