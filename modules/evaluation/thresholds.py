"""What a model must reach to be blessed. Why each default is what it is: docs/gate.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from signs.errors import UserError

Rivals = Literal["both", "majority", "nothing"]
# Over a further test set for which nothing else is said: on half of it, the model is of use there.
ACCURACY_ON = 0.5


@dataclass(frozen=True)
class Thresholds:
    """The limits. Accuracies are lower ends of 95 % intervals (Wilson's), in [0, 1].

    Where so few images cannot prove the limit, a model meets it by having all of them right. A
    limit that everything meets asks for nothing: 0, an error of 1, a change of -1.
    """

    min_accuracy: float = 0.7  # over all test images, and over those that nothing leaks into
    min_class_accuracy: float = 0.4  # within each class
    min_corrupted_accuracy: float = 0.5  # on copies of test images, for each kind of corruption
    max_calibration_error: float = 0.15  # expected calibration error of the confidence
    # What has to be right less often, on the same images: the most frequent class, always, and
    # ("both") the nearest training image, by its pixels.
    must_beat: Rivals = "both"
    # At a smaller p (McNemar's test, exact) a candidate is worse than the baseline.
    significance: float = 0.05
    # Candidate less baseline, in [-1, 1], whatever is significant.
    min_accuracy_change: float = -1.0
    # Over all images of a further test set, by its name; None asks for nothing.
    min_accuracy_on: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, low in (
            ("min_accuracy", 0),
            ("min_class_accuracy", 0),
            ("min_corrupted_accuracy", 0),
            ("max_calibration_error", 0),
            ("significance", 0),
            ("min_accuracy_change", -1),
        ):
            value = getattr(self, name)
            if not low <= value <= 1:
                raise UserError(f"evaluate.{name} must be in [{low}, 1]. Received: {value}")
        if self.must_beat not in get_args(Rivals):
            raise UserError(
                f"evaluate.must_beat must be one of {', '.join(get_args(Rivals))}. "
                f"Received: {self.must_beat}"
            )
        for name, least in self.min_accuracy_on.items():
            if least is not None and not 0 <= least <= 1:
                raise UserError(
                    f"evaluate.min_accuracy_on.{name} must be in [0, 1]. Received: {least}"
                )

    def accuracy_on(self, test_set: str) -> float | None:
        """What is asked for on a further test set; None: nothing."""
        return self.min_accuracy_on.get(test_set, ACCURACY_ON)
