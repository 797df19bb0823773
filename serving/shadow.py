"""Shadow replay: what was asked before is asked again, of two versions, and the answers compared.

request log -> Predict requests of the model -> version A, version B -> Comparison
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc
import numpy as np

from signs import features, protos, tensors
from signs.transports.transport import ClientError, Transport, TransportError, UnexpectedAnswerError

_OUTPUTS = (features.PREDICTED_CLASS_NAME, features.PROBABILITIES)
_CLASSIFIED = (features.CLASSES, features.SCORES)
# What these tell is not the model's answer: the server is away, or has too much to do.
_NO_ANSWER = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


@dataclass(frozen=True)
class Difference:
    """One image for which the versions differ in class, or one of them fails.

    Args:
        asked_at: when it was asked, in UTC.
        request: the request's position in the log, from 0.
        row: the image's position in the request, from 0.
        before: the first version's class, or "error CODE".
        after: the second version's.
        probability_change: the largest change of a class's probability, in [0, 1].
    """

    asked_at: datetime
    request: int
    row: int
    before: str
    after: str
    probability_change: float


@dataclass
class Comparison:
    """What a replay found.

    Args:
        requests: requests that were sent to both versions.
        images: images in them; a request that failed counts as one.
        passed_over: records that are no Predict request of this model.
        max_probability_change: the largest of all images.
        differences: the images whose class changed.
    """

    requests: int = 0
    images: int = 0
    passed_over: int = 0
    max_probability_change: float = 0.0
    differences: list[Difference] = field(default_factory=list)

    @property
    def changed(self) -> float:
        """Share of images whose class changed, in [0, 1]."""
        return len(self.differences) / self.images if self.images else 0.0


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
    for done, (position, entry) in enumerate(chosen):
        request = entry.predict_log.request
        asked_at = datetime.fromtimestamp(entry.log_metadata.timestamp_secs, UTC)
        first = _answers(before, request, timeout_s)
        second = _answers(after, request, timeout_s)
        _compare(comparison, position, asked_at, first, second)
        progress(done + 1, len(chosen))
    return comparison


@dataclass(frozen=True)
class _Answer:
    """The class of each image and its probabilities; one entry, without, where a request fails."""

    classes: list[str]
    probabilities: list[np.ndarray]


def _answers(transport: Transport, request: protos.PredictRequest, timeout_s: float) -> _Answer:
    try:
        inputs = {name: tensors.decode(tensor) for name, tensor in request.inputs.items()}
        signature = request.model_spec.signature_name or features.SERVING_DEFAULT
        wanted = _CLASSIFIED if signature == features.CLASSIFY else _OUTPUTS
        outputs = transport.predict(signature, inputs, wanted, timeout_s)
    except TransportError as error:
        if error.code in _NO_ANSWER:
            raise ClientError(f"The replay was given up: {error}", error.code) from error
        return _Answer([f"error {error.code.name}"], [np.empty(0)])
    except (UnexpectedAnswerError, tensors.TensorError):
        return _Answer(["error of another kind"], [np.empty(0)])
    names, probabilities = (outputs[name] for name in wanted)
    if wanted is _CLASSIFIED:  # it names every class, in the order of the probabilities
        names = np.take_along_axis(names, probabilities.argmax(axis=1)[:, None], axis=1)[:, 0]
    return _Answer([name.decode() for name in names], list(probabilities))


def _compare(
    comparison: Comparison, position: int, asked_at: datetime, before: _Answer, after: _Answer
) -> None:
    comparison.requests += 1
    images = max(len(before.classes), len(after.classes))
    comparison.images += images
    for row in range(images):
        # An error stands for every image of its request.
        was, probabilities = _row(before, row)
        now, new_probabilities = _row(after, row)
        change = _largest_change(probabilities, new_probabilities)
        comparison.max_probability_change = max(comparison.max_probability_change, change)
        if was != now:
            comparison.differences.append(Difference(asked_at, position, row, was, now, change))


def _row(answer: _Answer, row: int) -> tuple[str, np.ndarray]:
    if not answer.classes:
        return "no answer", np.empty(0)
    row = min(row, len(answer.classes) - 1)
    return answer.classes[row], answer.probabilities[row]


def _largest_change(before: np.ndarray, after: np.ndarray) -> float:
    """Versions with other classes cannot be compared class by class: that is the largest change."""
    if before.shape != after.shape:
        return 1.0
    return float(np.max(np.abs(before - after), initial=0.0))
