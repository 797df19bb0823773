"""pictures.json: what the pictures of a span are like, which are odd, what has changed.

{"splits": {"train": {"brightness": {"mean": 0.7, "histogram": [...], ...}, "size": {...}, ...}},
 "anomalies": [{"feature": "brightness", "value": 0.4, "limit": 0.15, "examples": [...], ...}],
 "odd": {"dark": [{"id": "a.jpg", ...}], ...}, "odd_counts": {"dark": 1, ...}, ...}
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from data.findings import Finding

PICTURES = "pictures.json"


@dataclass(frozen=True)
class Numbers:
    """The distribution of a number.

    Attributes:
        count: Pictures that have one.
        mean: Of them; as all that follows, in the units of `data.statistics.measure.Measures`.
        std: The standard deviation.
        min: The smallest.
        median: The one in the middle.
        max: The largest.
        histogram: (from, to, pictures) for parts of equal width, in order.
    """

    count: int
    mean: float
    std: float
    min: float
    median: float
    max: float
    histogram: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Words:
    """How many pictures have each word, the most frequent first."""

    counts: dict[str, int]


@dataclass(frozen=True)
class Example:
    """A picture that is an example of something: its source id, and what it has of it."""

    id: str
    split: str
    class_name: str
    feature: str
    value: float | str


@dataclass(frozen=True)
class Anomaly:
    """Two distributions that are farther apart than the schema allows.

    Attributes:
        kind: "drift" between spans, "skew" between splits, or training and requests.
        feature: What is distributed.
        split: Whose pictures have changed.
        against: What they are compared with, in words.
        measure: "jensen_shannon_divergence" (of base 2) or "infinity_norm"; both in [0, 1].
        value: How far apart they are.
        limit: How far they may be: the comparator's in the schema.
        text: All that in words.
        examples: Those of the pictures that are least like what they are compared with.
    """

    kind: Literal["drift", "skew"]
    feature: str
    split: str
    against: str
    measure: str
    value: float
    limit: float
    text: str
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Notes:
    """What there is to tell of pictures.

    Attributes:
        anomalies: What has changed more than it may.
        odd_counts: How many pictures are odd, by kind.
        not_compared: What could not be compared, in words.
        findings: The same for a summary.
    """

    anomalies: tuple[Anomaly, ...] = ()
    odd_counts: dict[str, int] = field(default_factory=dict)
    not_compared: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Pictures(Notes):
    """pictures.json.

    Attributes:
        splits: Distributions by split and feature.
        odd: By kind, those pictures of which it is most true.
    """

    splits: dict[str, dict[str, Numbers | Words]] = field(default_factory=dict)
    odd: dict[str, tuple[Example, ...]] = field(default_factory=dict)

    @property
    def notes(self) -> Notes:
        """What of it a run's summary keeps."""
        return Notes(self.anomalies, self.odd_counts, self.not_compared, self.findings)

    def write(self, folder: Path) -> None:
        """Writes pictures.json."""
        (folder / PICTURES).write_bytes(TypeAdapter(Pictures).dump_json(self, indent=1))


def read(folder: Path) -> Pictures:
    """Reads what `write` has written."""
    return TypeAdapter(Pictures).validate_json((folder / PICTURES).read_bytes())
