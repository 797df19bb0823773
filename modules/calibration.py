"""When a model knows: a temperature for what it says, and a score below which it does not know.

eval images -> augmented, and made unknown -> logits -> fit -> Calibration -> confidence, known

The temperature is that of Guo et al. 2017, "On Calibration of Modern Neural Networks"; the score is
that of Liu et al. 2020, "Energy-based Out-of-distribution Detection".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from drawing import shows_signs
from modules.training.augmentation import augment, with_cover
from modules.training.recipe import Recipe
from modules.training.unknown import no_signs, unknown_pictures

TEMPERATURES = (0.05, 20.0)  # the lowest and the highest
REFUSED = 0.04  # of the known pictures, at most
_PICTURES = 600  # known ones, and a third as many unknown: of ResNet50 five seconds of one core
_BATCH = 50
_STRENGTH = 0.2  # of the recipe's changes, for the pictures that it is fitted on


@dataclass(frozen=True)
class Calibration:
    """What turns the logits of an answer into how sure it is.

    Args:
        temperature: positive; the logits are divided by it.
        threshold: the lowest score (see `score`) of a picture that the model knows.
    """

    temperature: float
    threshold: float

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"`temperature` must be positive. Received: {self.temperature}")
        if not math.isfinite(self.threshold):
            raise ValueError(f"`threshold` must be finite. Received: {self.threshold}")

    def confidence(self, logits: tf.Tensor) -> tf.Tensor:
        """The probability that the answer is right, float32 [batch] of logits [batch, classes]."""
        return tf.reduce_max(tf.nn.softmax(logits / self.temperature), axis=1)

    def known(self, logits: tf.Tensor) -> tf.Tensor:
        """Whether the picture is of a kind that the model knows, bool [batch]."""
        return score(logits) >= self.threshold


def calibrate(
    logits: Callable[[tf.Tensor], tf.Tensor],
    images: tf.data.Dataset,
    recipe: Recipe,
    class_names: Sequence[str],
) -> tuple[Calibration, dict[str, float]]:
    """Finds how sure a trained network is, from pictures such as it was not trained on.

    A final model has been trained on the eval images too, so that as they are they say little of
    new ones. They are changed anew, with a seed that no step of the training has, and a little: a
    picture that training has changed as much as it may is less known than what people ask.

    Args:
        logits: what `modules.network.logits_of` returned.
        images: batches of (float32 [batch, size, size, 3], int64 [batch]); at least one image.
        recipe: its augmentation and seed.
        class_names: in the order of the labels. Where they are SIGNS's, drawn hands that show no
            sign are among what is unknown.

    Returns:
        The calibration, and its numbers by name: its own, and those of `measure`.
    """
    parts = []
    batches = images.unbatch().repeat().take(_PICTURES).batch(_BATCH)
    for number, (pixels, labels) in enumerate(batches.as_numpy_iterator()):

        def changed(images: np.ndarray, seed: int = number) -> tf.Tensor:
            return augment(
                images,
                recipe.augmentation,
                size=tf.constant(images.shape[1]),
                seed=tf.constant([recipe.seed, -1 - seed]),
                strength=_STRENGTH * recipe.augmentation.strength,
            )

        known = changed(with_cover(pixels))
        unknown = unknown_pictures(pixels[::3], labels[::3], number)
        if shows_signs(class_names):
            drawn = no_signs(len(unknown) // 2, pixels.shape[1], number)
            unknown[: len(drawn)] = changed(drawn / np.float32(255))
        parts.append((logits(known), labels, logits(tf.constant(unknown))))
    found, classes, not_found = (np.concatenate(part) for part in zip(*parts, strict=True))
    calibration = fit(found, classes)
    measured = measure(calibration, found, classes, not_found)
    return calibration, {**asdict(calibration), **measured}


def score(logits: tf.Tensor) -> tf.Tensor:
    """The negative energy of each picture, float32 [batch] of logits [batch, classes]."""
    return tf.reduce_logsumexp(logits, axis=1)


def fit(logits: np.ndarray, labels: np.ndarray, refused: float = REFUSED) -> Calibration:
    """Finds the temperature and the threshold.

    The temperature has the smallest negative log-likelihood within TEMPERATURES. The threshold
    refuses that share of the pictures. Unknown ones do not set it: made ones are told apart more
    easily than real ones.

    Args:
        logits: of pictures of the classes, float32 [n, classes]; at least one.
        labels: their classes, int64 [n] in [0, classes).
        refused: in [0, 1]; no more of them, and less where they are few.

    Raises:
        ValueError: there is no picture, a value is not finite, or shapes do not agree.
    """
    logits = np.asarray(logits)
    if logits.ndim != 2 or not len(logits) or np.shape(labels) != logits.shape[:1]:
        raise ValueError(
            "`logits` must be [n, classes] and `labels` [n], n from 1. Received: "
            f"{list(logits.shape)} and {list(np.shape(labels))}"
        )
    if not np.isfinite(logits).all():
        raise ValueError("all logits must be finite")
    threshold = np.quantile(score(logits).numpy(), refused, method="lower")
    return Calibration(_temperature(logits, labels), float(threshold))


def measure(
    calibration: Calibration, logits: np.ndarray, labels: np.ndarray, unknown_logits: np.ndarray
) -> dict[str, float]:
    """What a calibration does with pictures of the classes, given as for `fit`, and with others.

    Args:
        calibration: what `fit` returned.
        logits: as `fit` has them.
        labels: as `fit` has them.
        unknown_logits: of pictures of no class, float32 [m, classes].

    Returns:
        By name: `known_refused` and `unknown_answered`, shares in [0, 1]; `calibration_error` and
        `calibration_error_before`, with and without the temperature, as
        `expected_calibration_error` has it.
    """

    def error(one: Calibration) -> float:
        return expected_calibration_error(
            one.confidence(logits).numpy(), logits.argmax(axis=1) == labels
        )

    refused = ~calibration.known(logits).numpy()
    answered = calibration.known(unknown_logits).numpy()
    return {
        "known_refused": float(refused.mean()),
        "unknown_answered": float(answered.mean()) if len(answered) else 0.0,
        "calibration_error": error(calibration),
        "calibration_error_before": error(Calibration(1.0, calibration.threshold)),
    }


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15
) -> float:
    """How far confidence is from accuracy on average (Naeini et al. 2015).

    Args:
        confidence: float [n] in [0, 1]; at least one.
        correct: whether the answer is right, bool [n].
        bins: of equal width, each open below and closed above.

    Returns:
        The difference between mean confidence and accuracy within a bin, averaged over all answers;
        in [0, 1].
    """
    confidence = np.asarray(confidence, float)
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(places, np.asarray(correct, float) - confidence, bins)
    return float(np.abs(gaps).sum() / len(confidence))


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    logits = logits.astype(float)  # in float32 the loss is too coarse to descend on
    count, classes = logits.shape
    # That n pictures are all answered rightly does not say that the next one is: one more, of any
    # class, is counted among them. Without it the likelihood would have no best temperature.
    targets = (np.eye(classes)[labels] * count + 1 / classes) / (count + 1)
    wanted = (targets * logits).sum(axis=1)

    def loss(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        return float(np.mean(logsumexp(logits * scale, axis=1) - wanted * scale))

    # Over the scale the loss is convex, so over its logarithm it has a single minimum.
    low, high = (math.log(bound) for bound in TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    return math.exp(found.x)
