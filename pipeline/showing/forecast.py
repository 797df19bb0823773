"""How long a run is expected to take, step by step: the time left counts what is still to come."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Forecast:
    """Seconds by the name of the step."""

    seconds: Mapping[str, float]
    after_training: float = 0.0  # of a step that trains: what it still does then, as exporting

    @property
    def total(self) -> float:
        """Seconds from the first step's begin to the last one's end."""
        return sum(self.seconds.values())
