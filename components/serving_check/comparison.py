"""Are served answers those of the trained network? Answers on test images in, a verdict out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Precision = Literal["float32", "bfloat16"]

# Two compilations of one network differ in the order of their additions, not in their answers.
TOLERANCE = 1e-5
# bfloat16 keeps eight bits of a number: probabilities move, and classes must not.
BFLOAT16_TOLERANCE = 0.02


@dataclass(frozen=True)
class Answers:
    """What was answered to images, each by its row."""

    probabilities: np.ndarray  # float32 [images, classes]
    confidence: np.ndarray  # float32 [images]
    known: np.ndarray  # bool [images]


@dataclass(frozen=True)
class Result:
    """What the check found; kept beside the blessing."""

    blessed: bool
    reason: str  # in words
    precision: Precision | None = None  # that was served, and is pushed if it is blessed
    images: int = 0
    largest_difference: float | None = None  # between probabilities
    largest_confidence_difference: float | None = None
    changed_classes: int | None = None  # images that got another class
    changed_known: int | None = None  # images that are known to one and not to the other
    # Why bfloat16 is not what was served, where it might have been.
    without_bfloat16: str | None = None


def compare(expected: Answers, served: Answers, precision: Precision = "float32") -> Result:
    """Judges served answers against the trained network's.

    Returns:
        Blessed, if no probability differs by more than TOLERANCE; in bfloat16, if none does by more
        than BFLOAT16_TOLERANCE, and no image has another class.
    """
    one, other = expected.probabilities, served.probabilities
    if one.shape != other.shape:
        reason = f"served {other.shape} probabilities, expected {one.shape}"
        return Result(False, reason, precision, len(other))
    by_image = np.max(np.abs(other - one), axis=1)
    difference, worst = float(by_image.max()), int(by_image.argmax())
    changed = other.argmax(axis=1) != one.argmax(axis=1)
    tolerance, allowed = TOLERANCE, len(one)
    if precision == "bfloat16":
        tolerance, allowed = BFLOAT16_TOLERANCE, 0
    # A served NaN must not pass: every comparison with it is false.
    close = difference <= tolerance
    blessed = close and int(changed.sum()) <= allowed
    if blessed:
        reason = f"served as trained: probabilities differ by {difference:.1e} at most"
    elif not close:
        reason = (
            f"served probabilities differ from the trained model's by {difference:.3g}, "
            f"more than {tolerance:g} (image {worst})"
        )
    else:
        reason = f"{int(changed.sum())} of {len(one)} images got another class served"
    return Result(
        blessed,
        reason,
        precision,
        len(other),
        difference,
        float(np.max(np.abs(served.confidence - expected.confidence))),
        int(changed.sum()),
        int((served.known != expected.known).sum()),
    )
