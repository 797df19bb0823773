"""Shadow replay, with transports that answer what a test says."""

from datetime import UTC, datetime

import grpc
import numpy as np
import pytest

from serving.shadow import Difference, Limits, replay
from signs import features, protos, tensors
from signs.errors import UserError
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
    """Answers each image with the probability of "yes" that `belief` gives it.

    With `sure_from` it tells its confidence, and knows an image from that probability on.
    """

    def __init__(self, belief: dict[bytes, float], sure_from: float | None = None):
        self._belief = belief
        self._sure_from = sure_from
        self.asked: list[tuple[str, list[bytes]]] = []

    def predict(self, signature, inputs, outputs, timeout_s, optional=()):
        (images,) = map(list, inputs.values())
        self.asked.append((signature, images))
        yes = np.array([self._belief[image] for image in images])
        found = {
            features.PROBABILITIES: np.stack([1 - yes, yes], axis=1),
            features.PREDICTED_CLASS_NAME: np.where(yes > 0.5, b"yes", b"no").astype(object),
            features.CLASSES: np.array([[b"no", b"yes"]] * len(images), object),
            features.SCORES: np.stack([1 - yes, yes], axis=1),
        }
        if self._sure_from is not None:
            best = np.maximum(yes, 1 - yes)
            found |= {features.CONFIDENCE: best, features.KNOWN: best >= self._sure_from}
        return {name: found[name] for name in (*outputs, *optional) if name in found}


class Failing:
    def __init__(self, error: Exception):
        self._error = error

    def predict(self, *args, **more):
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


def test_who_is_not_sure_names_no_class():
    before = Version({b"a": 0.9, b"b": 0.6, b"c": 0.9, b"d": 0.7}, sure_from=0.8)
    after = Version({b"a": 0.8, b"b": 0.4, b"c": 0.7, b"d": 0.9}, sure_from=0.8)
    found = replay([logged(b"a", b"b", b"c", b"d")], "signs", before, after)
    # b: not sure, and not sure again, whatever the class. c: not sure any more. d: sure now.
    told = [
        (d.row, d.known_before, d.known_after, d.confidence_before, d.confidence_after)
        for d in found.differences
    ]
    assert told == [(2, True, False, 0.9, 0.7), (3, False, True, 0.7, 0.9)]
    assert [(d.before, d.after) for d in found.differences] == [("yes", "yes")] * 2
    assert found.changed == 0.5
    assert (found.before.not_sure, found.after.not_sure) == (0.5, 0.5)
    assert found.before.confidence == pytest.approx(0.9)
    assert found.after.confidence == pytest.approx(0.85)


def test_models_that_do_not_tell_how_sure_they_are():
    telling, silent = Version({b"a": 0.9}, sure_from=0.95), Version({b"a": 0.9})
    found = replay([logged(b"a")], "signs", silent, telling)
    assert (found.before.not_sure, found.before.confidence) == (None, None)
    assert (found.after.not_sure, found.after.confidence) == (1.0, None)
    (difference,) = found.differences  # "yes" before, and "not sure" now
    assert (difference.known_before, difference.known_after) == (None, False)


def test_how_long_the_answers_took(monkeypatch):
    """The first answers, which have the making of the connection in them, do not count."""
    now = [0.0]
    monkeypatch.setattr("serving.shadow.time.perf_counter", lambda: now[0])

    class Taking(Version):
        def __init__(self, seconds: list[float]):
            super().__init__({b"a": 0.9})
            self._seconds = iter(seconds)

        def predict(self, *args, **more):
            now[0] += next(self._seconds)
            return super().predict(*args, **more)

    quick, slow = Taking([9, *[0.001] * 100]), Taking([9, *[0.002] * 99, 0.006])
    found = replay([logged(b"a")] * 101, "signs", quick, slow)
    assert (found.before.p50_ms, found.before.p99_ms) == pytest.approx((1, 1))
    assert (found.after.p50_ms, found.after.p99_ms) == pytest.approx((2, 2.04))
    assert found.reasons(Limits()) == found.reasons(Limits(max_slower=2.05)) == []
    assert found.reasons(Limits(max_slower=2.02)) == [
        "the p99 is 2.0 ms, more than 2.02 times 1.0 ms"
    ]
    assert len(found.reasons(Limits(max_slower=1.5))) == 2


def test_versions_are_asked_in_turns():
    order = []

    class Asked(Version):
        def predict(self, *args, **more):
            order.append(self)
            return super().predict(*args, **more)

    before, after = Asked({b"a": 0.9}), Asked({b"a": 0.1})
    found = replay([logged(b"a")] * 3, "signs", before, after)
    assert order == [before, after, after, before, before, after]
    assert {(one.before, one.after) for one in found.differences} == {("yes", "no")}


def test_why_a_version_is_not_as_good():
    found = replay(
        [logged(b"a", b"b")], "signs", Version({b"a": 1, b"b": 1}), Version({b"a": 1, b"b": 0})
    )
    assert found.reasons(Limits(0.5)) == []
    assert found.reasons(Limits(0.49)) == [
        "50.0 % of the images are answered otherwise, more than 49.0 %"
    ]
    assert replay([], "signs", Version({}), Version({})).reasons(Limits(1)) == [
        "no request was compared"
    ]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"max_changed": 1.5}, r"`max_changed` must be in \[0, 1\]\. Received: 1\.5"),
        ({"max_changed": float("nan")}, r"`max_changed` must be in \[0, 1\]\. Received: nan"),
        ({"max_slower": 0.0}, r"`max_slower` must be positive\. Received: 0\.0"),
        ({"max_slower": float("inf")}, r"`max_slower` must be positive\. Received: inf"),
    ],
)
def test_limits_that_make_no_sense(values, told):
    with pytest.raises(UserError, match=told):
        Limits(**values)


def test_answers_of_another_shape():
    class Odd(Version):
        def predict(self, *args, **more):
            found = super().predict(*args, **more)
            return {**found, features.KNOWN: np.array([True])}

    odd = Odd({b"a": 0.9, b"b": 0.9})
    found = replay([logged(b"a", b"b")], "signs", Version({b"a": 0.9, b"b": 0.9}), odd)
    assert [d.after for d in found.differences] == ["error of another kind"] * 2


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
        def predict(self, *args, **more):
            found = super().predict(*args, **more)
            found[features.PROBABILITIES] = np.zeros((1, 7))
            return found

    found = replay([logged(b"a")], "signs", Version({b"a": 0.9}), Wider({b"a": 0.9}))
    assert (found.changed, found.max_probability_change) == (0.0, 1.0)


def test_no_images():
    class Empty(Version):
        def predict(self, *args, **more):
            return {name: np.empty((0, 2)) for name in args[2]}

    assert replay([logged()], "signs", Empty({}), Empty({})).images == 0
    assert replay([], "signs", Empty({}), Empty({})).changed == 0.0


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"])
def test_a_server_that_does_not_answer_ends_the_replay(code):
    away = Failing(TransportError(grpc.StatusCode[code], "away"))
    with pytest.raises(ClientError) as caught:
        replay([logged(b"a")], "signs", Version({b"a": 0.9}), away)
    assert str(caught.value) == f"The replay was given up: {code}: away"
