"""Where a training stands, told as one line of JSON a second at most.

TellProgress -> TrainingProgress -> the log `modules.training.progress` -> who draws it

    {"progress":{"epoch":1,"epochs":48,"step":9,"steps":34,"loss":2.1,"accuracy":0.25,...}}

On a cluster the line stands in the step's log. Importing this module does not import TensorFlow.
"""

import logging
from dataclasses import dataclass
from functools import cache

from pydantic import TypeAdapter, ValidationError

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingProgress:
    """Where training stands. `epoch` and `step` (within the epoch) count from 1.

    A number that is not finite, such as the loss of a run that diverged, arrives as None.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    accuracy: float | None  # on the training images of this epoch, in [0, 1]
    eval_accuracy: float | None = None  # after the last whole epoch, in [0, 1]
    images_per_s: float | None = None
    eta_s: float | None = None  # seconds until training is over, all trials included
    trial: int | None = None  # of a search for hyperparameters, counted from 1
    trials: int | None = None

    def line(self) -> str:
        """The progress as one line of a log."""
        return _json().dump_json({"progress": self}).decode()

    @classmethod
    def parse(cls, line: str) -> "TrainingProgress | None":
        """The progress that `line` wrote; None of any other line."""
        if not line.startswith('{"progress":'):
            return None
        try:
            return _json().validate_json(line)["progress"]
        except ValidationError:
            return None


def log(progress: TrainingProgress) -> None:
    """Tells whoever reads the log."""
    LOGGER.info("%s", progress.line())


@cache
def _json() -> TypeAdapter[dict[str, TrainingProgress]]:
    return TypeAdapter(dict[str, TrainingProgress])
