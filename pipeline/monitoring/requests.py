"""A request log as the pictures that were asked, and what they were answered.

PredictionLog records -> those of one version of a model -> pictures, answers
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from signs import features, protos, tensors


@dataclass(frozen=True)
class Asked:
    """A picture and its answer; what the model does not tell is None."""

    id: str  # "request 12, image 0": its places in the log and in the request, from 0
    image: bytes
    class_name: str
    confidence: float | None = None
    known: bool | None = None


@dataclass
class Requests:
    """What a log holds of one version.

    Attributes:
        version: That answered; None where the log has no such request.
        asked: The pictures, oldest first.
        passed_over: Records of other versions, models and methods, and unreadable ones.
    """

    version: int | None = None
    asked: list[Asked] = field(default_factory=list)
    passed_over: int = 0


def read_requests(
    log: Iterable[protos.PredictionLog], model: str, version: int | None, newest: int
) -> Requests:
    """Picks the requests to a version.

    Args:
        log: Oldest first.
        model: Requests to others are passed over.
        version: That answered; None for the one that answered last.
        newest: So many requests, the newest.
    """
    chosen: deque[tuple[int, protos.PredictLog]] = deque(maxlen=newest)
    count = 0
    for count, entry in enumerate(log, 1):
        one = entry.predict_log
        answered = one.response.model_spec
        is_ours = entry.WhichOneof("log_type") == "predict_log" and answered.name == model
        if is_ours and version in (None, answered.version.value):
            chosen.append((count - 1, one))
    found = Requests(version)
    if version is None and chosen:
        found.version = chosen[-1][1].response.model_spec.version.value
    read = 0
    for place, one in chosen:
        if one.response.model_spec.version.value == found.version:
            asked = [*_asked(place, one)]
            read += bool(asked)
            found.asked += asked
    found.passed_over = count - read
    return found


def _asked(place: int, one: protos.PredictLog) -> Iterator[Asked]:
    try:
        images = _images(one.request)
        answers = {name: tensors.decode(value) for name, value in one.response.outputs.items()}
    except (tensors.TensorError, DecodeError, IndexError):
        return
    names = answers.get(features.PREDICTED_CLASS_NAME)
    if names is None or len(names) != len(images):
        return
    sure, known = answers.get(features.CONFIDENCE), answers.get(features.KNOWN)
    for row, image in enumerate(images):
        yield Asked(
            f"request {place}, image {row}",
            image,
            names[row].decode(errors="replace"),
            None if sure is None else float(sure[row]),
            None if known is None else bool(known[row]),
        )


def _images(request: protos.PredictRequest) -> list[bytes]:
    if features.IMAGES_INPUT in request.inputs:
        return tensors.decode(request.inputs[features.IMAGES_INPUT]).tolist()
    examples = tensors.decode(request.inputs[features.EXAMPLES_INPUT]).tolist()
    parsed = [protos.Example.FromString(one).features.feature for one in examples]
    return [feature[features.IMAGE].bytes_list.value[0] for feature in parsed]
