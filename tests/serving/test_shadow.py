"""Shadow replay, with transports that answer what a test says."""

from datetime import UTC, datetime

import grpc
import numpy as np
import pytest

from serving.shadow import Difference, replay
from signs import features, protos, tensors
from signs.transports.transport import ClientError, TransportError, UnexpectedAnswerError

AT = 1_700_000_000


def logged(*images: bytes, model: str = "signs", signature: str = features.SERVE_IMAGES):
    entry = protos.PredictionLog()
    entry.log_metadata.timestamp_secs = AT
    request = entry.predict_log.request
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    tensors.encode(np.array(images, object), request.inputs[features.IMAGES_INPUT])
    return entry


class Version:
    """Answers each image with the probability of "yes" that `belief` gives it."""

    def __init__(self, belief: dict[bytes, float]):
        self._belief = belief
        self.asked: list[tuple[str, list[bytes]]] = []

    def predict(self, signature, inputs, outputs, timeout_s):
        (images,) = map(list, inputs.values())
        self.asked.append((signature, images))
        yes = np.array([self._belief[image] for image in images])
        found = {
            features.PROBABILITIES: np.stack([1 - yes, yes], axis=1),
            features.PREDICTED_CLASS_NAME: np.where(yes > 0.5, b"yes", b"no").astype(object),
            features.CLASSES: np.array([[b"no", b"yes"]] * len(images), object),
            features.SCORES: np.stack([1 - yes, yes], axis=1),
        }
        return {name: found[name] for name in outputs}


class Failing:
    def __init__(self, error: Exception):
        self._error = error

    def predict(self, *args):
        raise self._error


def test_classes_that_change_are_listed():
    before = Version({b"a": 0.9, b"b": 0.2, b"c": 0.6})
    after = Version({b"a": 0.8, b"b": 0.3, b"c": 0.35})
    found = replay([logged(b"a", b"b"), logged(b"b", b"c")], "signs", before, after)
    assert (found.requests, found.images, found.passed_over) == (2, 4, 0)
    assert found.changed == 0.25
    assert found.max_probability_change == pytest.approx(0.25)
    (difference,) = found.differences
    at = datetime.fromtimestamp(AT, UTC)
    assert difference == Difference(at, 1, 1, "yes", "no", pytest.approx(0.25))
    assert (
        before.asked
        == after.asked
        == [
            (features.SERVE_IMAGES, [b"a", b"b"]),
            (features.SERVE_IMAGES, [b"b", b"c"]),
        ]
    )


def test_requests_to_the_signature_that_names_every_class():
    before, after = Version({b"a": 0.9, b"b": 0.4}), Version({b"a": 0.1, b"b": 0.3})
    found = replay([logged(b"a", b"b", signature=features.CLASSIFY)], "signs", before, after)
    (difference,) = found.differences
    assert (difference.row, difference.before, difference.after) == (0, "yes", "no")
    assert difference.probability_change == pytest.approx(0.8)


def test_requests_of_others_are_passed_over():
    classified = protos.PredictionLog()
    classified.classify_log.request.model_spec.name = "signs"
    version = Version({b"a": 0.9})
    log = [logged(b"a", model="cats"), classified, protos.PredictionLog(), logged(b"a")]
    found = replay(log, "signs", version, version)
    assert (found.requests, found.passed_over, found.differences) == (1, 3, [])


def test_only_the_newest_are_sent():
    version, steps = Version({b"a": 0.9, b"b": 0.1}), []
    log = [logged(b"a"), logged(b"a"), logged(b"b")]
    found = replay(
        log, "signs", version, version, newest=2, progress=lambda *step: steps.append(step)
    )
    assert found.requests == 2
    assert [images for _, images in version.asked] == [[b"a"], [b"a"], [b"b"], [b"b"]]
    assert steps == [(1, 2), (2, 2)]


def test_a_request_without_a_signature_has_the_default():
    version = Version({b"a": 0.9})
    replay([logged(b"a", signature="")], "signs", version, version)
    assert version.asked[0] == ("serving_default", [b"a"])


def test_an_error_is_a_change_for_every_image():
    refusing = Failing(TransportError(grpc.StatusCode.INVALID_ARGUMENT, "no such image"))
    found = replay([logged(b"a", b"b")], "signs", Version({b"a": 0.9, b"b": 0.1}), refusing)
    assert [(d.row, d.before, d.after) for d in found.differences] == [
        (0, "yes", "error INVALID_ARGUMENT"),
        (1, "no", "error INVALID_ARGUMENT"),
    ]
    assert (found.changed, found.max_probability_change) == (1.0, 1.0)


def test_an_error_of_both_is_no_change():
    one = Failing(TransportError(grpc.StatusCode.INVALID_ARGUMENT, "no such image"))
    other = Failing(TransportError(grpc.StatusCode.INVALID_ARGUMENT, "in other words"))
    found = replay([logged(b"a", b"b")], "signs", one, other)
    assert (found.images, found.changed, found.max_probability_change) == (1, 0.0, 0.0)
    odd = Failing(UnexpectedAnswerError("what?"))
    assert replay([logged(b"a")], "signs", odd, odd).changed == 0.0


def test_a_version_with_other_classes():
    class Wider(Version):
        def predict(self, *args):
            found = super().predict(*args)
            found[features.PROBABILITIES] = np.zeros((1, 7))
            return found

    found = replay([logged(b"a")], "signs", Version({b"a": 0.9}), Wider({b"a": 0.9}))
    assert (found.changed, found.max_probability_change) == (0.0, 1.0)


def test_no_images():
    class Empty(Version):
        def predict(self, *args):
            return {name: np.empty((0, 2)) for name in args[2]}

    assert replay([logged()], "signs", Empty({}), Empty({})).images == 0
    assert replay([], "signs", Empty({}), Empty({})).changed == 0.0


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"])
def test_a_server_that_does_not_answer_ends_the_replay(code):
    away = Failing(TransportError(grpc.StatusCode[code], "away"))
    with pytest.raises(ClientError) as caught:
        replay([logged(b"a")], "signs", Version({b"a": 0.9}), away)
    assert str(caught.value) == f"The replay was given up: {code}: away"
