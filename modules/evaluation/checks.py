"""What is held against the thresholds: a number of TFMA's, within a slice, for each check."""

from collections.abc import Iterator
from dataclasses import dataclass

from modules.evaluation.thresholds import Thresholds
from modules.evaluation.verdict import SimpleAnswers
from signs import features

# TFMA's metrics, by our names.
ACCURACY = "accuracy"
EXAMPLE_COUNT = "example_count"
CALIBRATION = "calibration"
PROVEN = "proven_accuracy"
BEYOND_MAJORITY = "accuracy_beyond_majority"
CALIBRATION_ERROR = "calibration_error"
WORSE_P = "p_if_worse"
# Features that the Evaluator adds: what copy of a test image is trained on, and how one is spoilt.
TWIN = "twin"
NO_TWIN = "none"
CORRUPTION = "corruption"


@dataclass(frozen=True)
class Check:
    """One number held against one limit.

    Attributes:
        name: as in `modules.evaluation.verdict.Row`.
        metric: TFMA's, by our name.
        limit: the least that passes.
        feature: by which images are sliced; None: all of them. Without a `value`, each slice must
            pass.
        at_most: the limit is the most that passes.
        is_change: the number is the candidate's less the baseline's.
    """

    name: str
    metric: str
    limit: float
    feature: str | None = None
    value: str | None = None
    at_most: bool = False
    is_change: bool = False

    def fits(self, slice_key: tuple[tuple[str, str], ...]) -> bool:
        """Whether this is a slice of the check."""
        if self.feature is None:
            return slice_key == ()
        if len(slice_key) != 1:
            return False
        [(feature, value)] = slice_key
        return feature == self.feature and self.value in (None, value)


def checks_of_test(
    thresholds: Thresholds,
    simple: SimpleAnswers | None = None,
    *,
    has_twins: bool = False,
    has_baseline: bool = False,
) -> tuple[Check, ...]:
    """What is asked for on the data's own test split.

    Args:
        thresholds: the limits.
        simple: what answers without a network score there; None: nobody knows.
        has_twins: whether copies of some test images are trained on.
        has_baseline: whether there is a model to compare with.
    """

    def all_of_them() -> Iterator[Check]:
        if least := thresholds.min_accuracy:
            yield Check("accuracy", PROVEN, least)
            if has_twins:
                yield Check("accuracy", PROVEN, least, TWIN, NO_TWIN)
        if least := thresholds.min_class_accuracy:
            yield Check("class", PROVEN, least, features.CLASS_NAME)
        if (most := thresholds.max_calibration_error) < 1:
            yield Check("calibration error", CALIBRATION_ERROR, most, at_most=True)
        if simple and thresholds.must_beat != "nothing":
            yield Check("majority", BEYOND_MAJORITY, simple.majority)
        if simple and thresholds.must_beat == "both":
            # One image more; where it has all of them right, so must the network.
            more = min(1.0, simple.nearest_neighbour + 0.5 / simple.test_images)
            yield Check("nearest neighbour", ACCURACY, more)
        if has_baseline:
            yield Check("baseline", WORSE_P, thresholds.significance)
        if has_baseline and (least := thresholds.min_accuracy_change) > -1:
            yield Check("change", ACCURACY, least, is_change=True)

    return tuple(all_of_them())


def checks_of_further(thresholds: Thresholds, test_set: str) -> tuple[Check, ...]:
    """What is asked for on a further test set."""
    least = thresholds.accuracy_on(test_set)
    return (Check("accuracy", PROVEN, least),) if least else ()


def checks_of_corrupted(thresholds: Thresholds) -> tuple[Check, ...]:
    """What is asked for on spoilt copies."""
    least = thresholds.min_corrupted_accuracy
    return (Check("corruption", PROVEN, least, CORRUPTION),) if least else ()
