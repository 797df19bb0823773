"""What one training is to do: written once by who builds the DAG, read once by who trains.

TrainingJob -> one JSON text in TFX's `custom_config` -> run_fn, tuner_fn

It is the same locally, on Kubeflow and in a training of several workers. TFX's cache key holds the
text: a training is run anew when anything in it changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from pydantic import TypeAdapter, ValidationError

from modules.machines.options import DeviceOptions
from modules.training.errors import in_words
from modules.training.recipe import Recipe
from signs.errors import UserError

_KEY = "training_job"


class JobError(UserError):
    """What was handed over is no training job."""


@dataclass(frozen=True)
class Search:
    """The Tuner's part: how many trainings to try, and on what."""

    trials: int  # from 1
    epochs: int  # of each, from 1
    counts: dict[str, int]  # images by split


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a training depends on, but for the images and Transform's graph."""

    recipe: Recipe
    class_names: tuple[str, ...]  # in the order of the labels
    image_size: int  # pixels a side
    devices: DeviceOptions = field(default_factory=DeviceOptions)
    code: str = ""  # digest of the user code: see pipeline.code
    # Folder or address under which unfinished trainings are kept; None keeps nothing.
    checkpoints: str | None = None
    max_steps: int = 0  # of the training, rounded up to whole epochs; 0: the recipe's epochs
    search: Search | None = None  # None for the Trainer

    def to_custom_config(self) -> dict[str, str]:
        """The job as TFX's components take it."""
        return {_KEY: _json().dump_json(self).decode()}

    @classmethod
    def from_custom_config(cls, custom_config: Mapping[str, object] | None) -> "TrainingJob":
        """The job that `to_custom_config` wrote.

        Raises:
            JobError: there is none, or a value in it is missing, of another type or out of range.
        """
        text = (custom_config or {}).get(_KEY)
        if not isinstance(text, str):
            raise JobError(
                f"custom_config must hold {_KEY!r}, as `TrainingJob.to_custom_config` writes it. "
                f"Received: {custom_config}"
            )
        try:
            return _json().validate_json(text)
        except ValidationError as err:
            raise JobError(f"the training job cannot be read: {in_words(err)}") from err

    def identity(self) -> str:
        """All that its result depends on: the job as text, without where its state is kept."""
        return _json().dump_json(replace(self, checkpoints=None)).decode()


@cache
def _json() -> TypeAdapter[TrainingJob]:
    return TypeAdapter(TrainingJob)
