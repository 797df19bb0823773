"""Truth tables: temperatures, thresholds and errors that can be worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from modules.calibration import (
    TEMPERATURES,
    Calibration,
    calibrate,
    expected_calibration_error,
    fit,
    measure,
)
from modules.training.recipe import Augmentation, Recipe
from tests.modules.dark_and_bright import SMALL, prepared, quick_changes

NONE = np.empty((0, 2), np.float32)


def two_classes(right: int, wrong: int, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Answers of two classes whose logits are all as far apart, of which some are wrong."""
    logits = np.tile(np.array([[gap, 0]], np.float32), (right + wrong, 1))
    return logits, np.array([0] * right + [1] * wrong)


def scored(*scores: float) -> np.ndarray:
    """Logits of two classes whose score is each of these."""
    return np.array([[score, score - 100] for score in scores], np.float32).reshape(-1, 2)


# --- The graph's part -----------------------------------------------------------------------------


def test_confidence_and_known():
    calibration = Calibration(temperature=2, threshold=3.6)
    logits = np.array([[4, 0, 0], [0, 3, 3], [2.9, 0, -9]], np.float32)
    np.testing.assert_allclose(
        calibration.confidence(logits),
        [
            np.e**2 / (np.e**2 + 2),
            np.e**1.5 / (2 * np.e**1.5 + 1),
            0.808,
        ],
        atol=1e-3,
    )
    assert calibration.known(logits).numpy().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("temperature", "threshold", "name"),
    [(0, 1, "temperature"), (-1, 1, "temperature"), (np.nan, 1, "temperature"), (1, np.inf, "thr")],
)
def test_a_calibration_that_makes_no_sense(temperature, threshold, name):
    with pytest.raises(ValueError, match=f"^`{name}"):
        Calibration(temperature, threshold)


# --- Temperature ----------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0.5, 2.0, 20.0])
@pytest.mark.parametrize(("right", "wrong"), [(900, 100), (750, 250), (990, 10)])
def test_the_temperature_makes_confidence_the_share_that_is_right(right, wrong, gap):
    logits, labels = two_classes(right, wrong, gap)
    calibration = fit(logits, labels)
    # One more answer is counted than there are, half of it right.
    share = (right + 0.5) / (right + wrong + 1)
    assert calibration.temperature == pytest.approx(gap / np.log(share / (1 - share)), rel=1e-3)
    np.testing.assert_allclose(calibration.confidence(logits), share, atol=1e-4)
    assert measure(calibration, logits, labels, NONE)["calibration_error"] < 0.001


@pytest.mark.parametrize(
    ("right", "wrong", "gap", "confidence"),
    [
        (1, 0, 5.0, 0.75),  # of a single picture little can be learnt
        (9, 0, 5.0, 0.95),  # all right, which does not make the next one certain
        (0, 9, 5.0, 0.562),  # all wrong: as unsure as the highest temperature makes it
        (99, 0, 1e-3, 0.505),  # and as sure as the lowest one makes it
        (99, 0, 0.0, 0.5),
        (99, 0, 1e6, 1.0),
    ],
)
def test_temperatures_of_odd_answers(right, wrong, gap, confidence):
    logits, labels = two_classes(right, wrong, gap)
    calibration = fit(logits, labels)
    assert TEMPERATURES[0] <= calibration.temperature <= TEMPERATURES[1]
    np.testing.assert_allclose(calibration.confidence(logits), confidence, atol=1e-3)


def test_the_loss_is_smallest_at_the_temperature():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (400, 6)).astype(np.float32)
    labels = np.where(rng.uniform(size=400) < 0.7, logits.argmax(axis=1), rng.integers(0, 6, 400))
    found = fit(logits, labels).temperature

    def loss(temperature: float) -> float:
        return float(
            tf.keras.losses.sparse_categorical_crossentropy(
                labels, logits / temperature, from_logits=True
            )
            .numpy()
            .mean()
        )

    assert loss(found) < min(loss(found * 0.9), loss(found * 1.1))


# --- Threshold ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "refused", "threshold"),
    [
        (range(100), 0.05, 4),  # 0, 1, 2 and 3; a fifth of 99 would be too much
        (range(101), 0.05, 5),
        (range(10), 0.05, 0),  # one of ten would be more than 0.05
        ((9, 1, *range(2, 9), 0), 0.1, 0),
        ((9, 1, *range(2, 10), 0), 0.1, 1),
        ((3, 3, 3), 0.05, 3),  # all alike: none
        ((2,), 0.9, 2),
        ((1, 2, 4), 0.5, 2),
    ],
)
def test_thresholds(known, refused, threshold):
    logits = scored(*known)
    calibration = fit(logits, np.zeros(len(logits), int), refused)
    assert calibration.threshold == threshold
    assert np.mean(~calibration.known(logits).numpy()) <= refused


def test_what_is_measured():
    calibration = Calibration(1, 2)
    logits = np.array([[5, 0], [0, 5], [1, 0], [5, 0]], np.float32)
    found = measure(calibration, logits, np.array([0, 1, 0, 1]), scored(1, 2, 3, 0))
    assert found["known_refused"] == 0.25
    assert found["unknown_answered"] == 0.5
    confidence = [1 / (1 + np.exp(-5))] * 3 + [1 / (1 + np.exp(-1))]
    expected = expected_calibration_error(confidence, [True, True, False, True])
    assert found["calibration_error"] == pytest.approx(expected)
    assert found["calibration_error_before"] == found["calibration_error"]
    assert measure(calibration, logits, np.zeros(4, int), NONE)["unknown_answered"] == 0


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (NONE, []),
        (scored(1, 2), [0]),
        (np.zeros(3), [0, 0, 0]),
        (scored(np.nan), [0]),
        (scored(1, np.inf), [0, 0]),
    ],
)
def test_what_cannot_be_fitted(logits, labels):
    with pytest.raises(ValueError, match="logits"):
        fit(logits, np.array(labels, int))


# --- Calibration error ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confidence", "correct", "bins", "error"),
    [
        ([1.0, 1.0], [1, 1], 15, 0),
        ([1.0, 1.0], [0, 0], 15, 1),
        ([0.75] * 4, [1, 1, 1, 0], 15, 0),
        ([0.9] * 4, [1, 1, 0, 0], 15, 0.4),
        # Two bins with a half of the answers each: |0.6 - 1| and |0.9 - 0.5|.
        ([0.6, 0.6, 0.9, 0.9], [1, 1, 1, 0], 15, 0.4),
        # In one bin the gaps of both meet.
        ([0.6, 0.6, 0.9, 0.9], [1, 1, 1, 0], 1, 0),
        # A bin is open below and closed above.
        ([0.5, 0.51], [1, 0], 2, 0.505),
        ([0.0], [1], 15, 1),
    ],
)
def test_expected_calibration_error(confidence, correct, bins, error):
    found = expected_calibration_error(np.array(confidence), np.array(correct, bool), bins)
    assert found == pytest.approx(error)


# --- Pictures -------------------------------------------------------------------------------------


def brightness(pixels: tf.Tensor) -> tf.Tensor:
    """Logits that tell dark pictures from bright ones."""
    mean = tf.reduce_mean(pixels, axis=(1, 2, 3))
    return tf.stack([1 - mean, mean], axis=1)


@pytest.mark.parametrize("count", [1, 7, 32])
def test_pictures_are_calibrated_on(count):
    seen = []

    def logits(pixels: tf.Tensor) -> tf.Tensor:
        seen.append(pixels.numpy())
        return brightness(pixels)

    recipe = Recipe(**{**SMALL, "augmentation": Augmentation()}, seed=7)
    calibration, found = calibrate(logits, prepared(count), recipe, ("dark", "bright"))
    assert calibration == Calibration(found["temperature"], found["threshold"])
    assert set(found) == {
        *("temperature", "threshold", "known_refused", "unknown_answered"),
        *("calibration_error", "calibration_error_before"),
    }
    assert 0.03 < found["known_refused"] <= 0.04
    pictures = np.concatenate(seen)
    assert pictures.shape == (804, 16, 16, 3)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    # However few images there are, no two pictures of them are the same.
    assert len(np.unique(pictures.reshape(804, -1), axis=0)) == 804
    if count == 7:  # takes seconds, and hangs on no number of images
        again = calibrate(brightness, prepared(count), recipe, ("dark", "bright"))
        assert again == (calibration, found)


def test_hands_that_show_no_sign_are_unknown_where_the_classes_are_signs(monkeypatch):
    drawn = []

    def noted(count: int, size: int, seed: int) -> np.ndarray:
        drawn.append(count)
        return np.full((count, size, size, 4), 255, np.uint8)

    monkeypatch.setattr("modules.calibration.no_signs", noted)
    images = prepared(32)
    with quick_changes():
        calibrate(brightness, images, Recipe(**SMALL), ("dark", "bright"))
        assert not drawn
        calibrate(brightness, images, Recipe(**SMALL), tuple("543210"))
    assert drawn == [8] * 12
