"""What a run's page shows, as its component has found it: facts.json, and pictures as data URIs.

executor -> Facts -> facts.json -> page/ (the model card, the report of a run, a comparison of two)
"""

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from data.findings import Finding
from data.statistics.shares import Shares
from modules.evaluation.verdict import Row
from signs import durable
from signs.errors import UserError

FACTS, CARD = "facts.json", "model_card.html"  # in the component's artifact


class FactsError(UserError):
    """The facts of a run are not there, or cannot be read."""


@dataclasses.dataclass(frozen=True)
class Mosaic:
    """Some images of a class and split in one picture."""

    split: str
    class_name: str
    images: int  # in the split, of that class
    shown: int
    picture: str  # data URI
    width: int = 0  # pixels
    height: int = 0


@dataclasses.dataclass(frozen=True)
class Shown:
    """One image, to be shown."""

    source_id: str
    split: str
    class_name: str
    picture: str  # data URI


@dataclasses.dataclass(frozen=True)
class Group:
    """Images side by side, and what is the matter with them."""

    words: str
    pictures: tuple[Shown, ...]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the model, and the baseline, say of a test image. Probabilities are in [0, 1]."""

    source_id: str
    class_name: str  # the right one
    answer: str
    confidence: float  # that the answer is right, as the model tells it
    known: bool | None = None  # None where a model does not tell it
    baseline: str | None = None  # its answer
    picture: str = ""  # data URI, where models differ or the answer is wrong
    heat: str = ""  # where the model looked, of the worst

    @property
    def is_right(self) -> bool:
        """Whether it is the right class."""
        return self.answer == self.class_name


@dataclasses.dataclass(frozen=True)
class Slice:
    """Accuracy on a part of a test set."""

    feature: str
    value: str
    images: int
    accuracy: float
    low: float  # Wilson's 95 % interval
    high: float


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What TFMA has found on a test set."""

    name: str
    images: int
    accuracy: float
    low: float
    high: float
    slices: tuple[Slice, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()  # right classes down, answers across


@dataclasses.dataclass(frozen=True)
class Feature:
    """A feature of a split as TFDV has counted it."""

    name: str
    kind: str
    images: int  # that have it
    missing: int
    different: int | None = None  # values
    most_frequent: str = ""


@dataclasses.dataclass(frozen=True)
class Source:
    """The span that was read, from its manifest."""

    source: str = ""
    span: int | None = None
    version: int | None = None
    fingerprint: str = ""  # of the source
    checksum: str = ""  # of the span
    created: str = ""
    is_synthetic: bool = False
    rejected: int = 0
    corrected: int = 0  # labels, by `signs relabel`


@dataclasses.dataclass(frozen=True)
class Facts:
    """All of it."""

    name: str  # of the data set, and so of the model
    class_names: tuple[str, ...]
    made: str  # when, as ISO 8601 has it
    blessed: bool
    verdict: tuple[Row, ...]
    source: Source
    counts: dict[str, dict[str, int]]  # images by split and class
    test: Evaluated
    further: tuple[Evaluated, ...] = ()
    served: dict[str, Any] = dataclasses.field(default_factory=dict)  # serving_check.json
    mosaics: tuple[Mosaic, ...] = ()
    features: dict[str, tuple[Feature, ...]] = dataclasses.field(default_factory=dict)  # by split
    anomalies: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    copies: tuple[Group, ...] = ()
    copies_in_all: int = 0  # groups
    suspects: tuple[Group, ...] = ()
    odd: tuple[Group, ...] = ()
    pictures: dict[str, Shares] = dataclasses.field(default_factory=dict)  # by feature, of splits
    by_epoch: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    calibration: dict[str, float] = dataclasses.field(default_factory=dict)
    answers: tuple[Answer, ...] = ()
    baseline: Literal["none", "compared"] = "none"
    trained_on: int = 0  # images
    fit_s: float | None = None
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    code: str = ""  # digest
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    machine: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float | None = None  # of the processor, that the facts took

    def save(self, folder: Path) -> None:
        """Writes facts.json."""
        durable.write_bytes(folder / FACTS, _json().dump_json(self))

    @classmethod
    def load(cls, folder: Path) -> "Facts":
        """The facts that `save` wrote.

        Raises:
            FactsError: they are not there, or of another release, or damaged.
        """
        path = folder / FACTS
        try:
            return _json().validate_json(path.read_bytes())
        except OSError as err:
            raise FactsError(f"{path} cannot be read: {err.strerror}") from err
        except ValidationError as err:
            first = err.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise FactsError(f"{path} is damaged. {place}: {first['msg']}") from err


@dataclasses.dataclass(frozen=True)
class Step:
    """What a run's step did. What is not known is None or empty.

    Attributes:
        name: Of the component.
        state: Such as "done" or "reused".
        seconds: By the clock.
        peak_mib: The largest memory of the run's processes meanwhile.
        read: Artifacts, in words.
        made: Artifacts, in words.
    """

    name: str
    state: str
    seconds: float | None = None
    peak_mib: float | None = None
    read: tuple[str, ...] = ()
    made: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Run:
    """The run that a page is of: what is known once it is over, and the component cannot know."""

    run_id: str
    status: str
    started: str
    duration: str = ""
    pushed: str = ""  # the version, such as "v3", and where it lies
    command: str = ""  # that started it
    settings: dict[str, str] = dataclasses.field(default_factory=dict)  # beside the defaults
    steps: tuple[Step, ...] = ()
    peak_mib: float | None = None
    queried: str = ""  # how the pushed model answered


@cache
def _json() -> TypeAdapter[Facts]:
    return TypeAdapter(Facts)
