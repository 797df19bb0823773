"""Why a model is blessed or not: a row for each check, in the blessing's `verdict.json`.

{"blessed": true,
 "rows": [{"check": "accuracy", "on": "test", "value": 0.99, "low": 0.95, "high": 0.998,
           "limit": 0.8, "passes": true, "of": 120, "why": "..."}],
 "simple_answers": {"majority": 0.17, "nearest_neighbour": 0.9, ...} or null,
 "baseline": {"won": 1, "lost": 0, "p": 1.0, "verdict": "no difference"} or null}
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

VERDICT = "verdict.json"


@dataclass(frozen=True)
class Row:
    """What came of one check.

    Attributes:
        check: "accuracy", "class", "corruption", "calibration error", "majority", "nearest
            neighbour", "baseline" (a p-value) or "change" (of accuracy from the baseline's).
        on: the test set, the class or the corruption.
        value: what was measured; None where there was nothing to measure.
        low, high: its 95 % interval, where `low` is what is held against the limit.
        limit: the least that passes; of a calibration error, the most.
        of: so many images.
        why: in words.
    """

    check: str
    on: str
    value: float | None
    low: float | None
    high: float | None
    limit: float
    passes: bool
    of: int
    why: str

    @property
    def held(self) -> float | None:
        """The number that is held against the limit."""
        return self.value if self.low is None else self.low


@dataclass(frozen=True)
class SimpleAnswers:
    """What answers without a network score on the test images, in [0, 1]."""

    majority: float  # the most frequent class of the training images, always
    nearest_neighbour: float  # the class of the training image whose 16 x 16 pixels are nearest
    test_images: int  # on so many of the test images
    training_images: int  # from so many of the training images


@dataclass(frozen=True)
class Comparison:
    """Candidate and baseline on the same test images."""

    won: int  # images that only the candidate has right
    lost: int  # images that only the baseline has right
    p: float  # McNemar's, exact and two-sided
    verdict: Literal["better", "worse", "no difference"]


@dataclass(frozen=True)
class Verdict:
    """All rows: those over all images first, then those within classes and corruptions."""

    blessed: bool
    rows: tuple[Row, ...] = ()
    simple_answers: SimpleAnswers | None = None
    baseline: Comparison | None = None

    def save(self, folder: Path) -> None:
        """Writes verdict.json."""
        (folder / VERDICT).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False))


def read(folder: Path) -> Verdict | None:
    """What `save` wrote; None where an older release has blessed."""
    from pydantic import TypeAdapter

    try:
        return TypeAdapter(Verdict).validate_json((folder / VERDICT).read_bytes())
    except FileNotFoundError:
        return None
