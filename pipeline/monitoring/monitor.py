"""Whether what a server is asked is still what its model was trained on.

requests -> measured as the training's pictures were -> skew by the schema's limits -+
         -> what the network sees -> distance from test pictures --------------------+-> Monitored
         -> answers -> confidence, share of "not sure", classes ---------------------+
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from tensorflow_metadata.proto.v0 import schema_pb2

from data.statistics.collect import MEASURED
from data.statistics.compare import (
    MIN_PICTURES,
    Distance,
    Statistics,
    anomalies,
    describe,
    distances,
    statistics_of,
)
from data.statistics.measure import measure
from data.statistics.odd import odd
from data.statistics.report import Anomaly, Example, Numbers, Words
from modules.evaluation.evidence import wilson
from pipeline.monitoring.requests import Asked, Requests
from pipeline.monitoring.sight import Sight, far_apart
from signs import features
from signs.errors import UserError

ASKED = "asked"  # the name of the requests beside those of splits


@dataclass(frozen=True)
class Limits:
    """How the answers may be.

    Attributes:
        max_not_sure: Share of pictures that the model may not know, in [0, 1]. Calibration refuses
            0.04 of known ones: this is five times as much.
        min_confidence: The mean for the others, in [0, 1]. It is calibrated: so right the model
            takes itself to be. Evaluator's `min_accuracy` is the same.
        max_embedding_distance: How much more often a picture may be farther from test pictures than
            those are from one another, in [0, 1]; see `pipeline.monitoring.sight`.
    """

    max_not_sure: float = 0.2
    min_confidence: float = 0.8
    max_embedding_distance: float = 0.3


@dataclass(frozen=True)
class Monitored:
    """What a comparison has found.

    Attributes:
        model: The served model.
        version: Whose requests were compared.
        images: Pictures in them.
        passed_over: Records of the log that are no such requests, and pictures that do not decode.
        distances: Between what was asked and the training's pictures, by feature; empty where
            there are too few.
        not_sure: Share of pictures that the model did not know; None where it does not tell.
        confidence: The mean for the others; None where it tells none.
        classes: Answers by class; of what it does not know, none.
        anomalies: Features that are farther away than the schema allows.
        odd: Single pictures, by kind.
        reasons: Why the exit code is 1, in words; [] where it is 0.
        notes: What could not be looked at, in words.
        pictures: Distributions by feature, of what was asked.
        training: And of what the model was trained on.
    """

    model: str
    version: int
    images: int
    passed_over: int
    distances: tuple[Distance, ...]
    not_sure: float | None
    confidence: float | None
    classes: dict[str, int]
    anomalies: tuple[Anomaly, ...]
    odd: dict[str, tuple[Example, ...]]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    pictures: dict[str, Numbers | Words] = field(default_factory=dict)
    training: dict[str, Numbers | Words] = field(default_factory=dict)


def monitor(
    requests: Requests,
    model: str,
    training: Statistics,
    schema: schema_pb2.Schema,
    limits: Limits = Limits(),
    sight: Sight | None = None,
) -> Monitored:
    """Compares.

    Args:
        requests: What was asked, and answered.
        model: By which name.
        training: Of the pictures that the model was trained on.
        schema: With the limits of skew.
        limits: Those of answers, and of what the network sees.
        sight: The network, and what it sees in test pictures; None looks at neither.

    Raises:
        UserError: Nothing was asked.
    """
    measured = [(one, row) for one in requests.asked if (row := _row(one))]
    rows = [row for _, row in measured]
    if requests.version is None or not rows:
        raise UserError(f"the log holds no Predict request with pictures to the model {model!r}")
    batches = [pa.RecordBatch.from_pylist(rows, MEASURED)]
    statistics = statistics_of(batches)
    found: tuple[Anomaly, ...] = ()
    apart: tuple[Distance, ...] = ()
    notes = []
    fewest = min(len(rows), training.datasets[0].num_examples)
    if fewest >= MIN_PICTURES:
        apart = tuple(distances(statistics, training, schema, "skew"))
        found = tuple(
            anomalies(
                *(batches, statistics, training, schema),
                kind="skew",
                split=ASKED,
                against=features.TRAIN,
            )
        )
    else:
        notes.append(
            f"{fewest:,} pictures are too few to compare with those of the training: "
            f"{MIN_PICTURES} are needed"
        )
    if sight is None:
        notes.append("what the network sees is not compared: an older release has pushed it")
    else:
        distance, unlike = far_apart(
            [one for one, _ in measured], sight, limits.max_embedding_distance, ASKED
        )
        apart += (distance,) if distance else ()
        found += (unlike,) if unlike else ()
    known = [one.known for one in requests.asked if one.known is not None]
    sure = [
        one.confidence
        for one in requests.asked
        if one.confidence is not None and one.known is not False
    ]
    counted = Counter(one.class_name for one in requests.asked if one.known is not False)
    return Monitored(
        model=model,
        version=requests.version,
        images=len(rows),
        passed_over=requests.passed_over + len(requests.asked) - len(rows),
        distances=apart,
        not_sure=1 - sum(known) / len(known) if known else None,
        confidence=float(np.mean(sure)) if sure else None,
        classes=dict(counted.most_common()),
        anomalies=found,
        odd=odd(batches, schema)[1],
        reasons=(*(one.text for one in found), *_of_answers(known, sure, limits)),
        notes=tuple(notes),
        pictures=describe(statistics),
        training=describe(training),
    )


def _row(one: Asked) -> dict[str, object] | None:
    try:
        measures = asdict(measure(one.image))
    except OSError:
        return None
    return {
        features.SOURCE_ID: one.id,
        features.SPLIT: ASKED,
        features.CLASS_NAME: one.class_name,
        **measures,
    }


def _of_answers(known: Sequence[bool], sure: Sequence[float], limits: Limits) -> list[str]:
    """Chance alone is no reason: the whole 95 % interval has to be beyond the limit."""
    reasons = []
    if known:
        share = 1 - sum(known) / len(known)
        low, high = wilson(share, len(known))
        if low > limits.max_not_sure:
            reasons.append(
                f"the model is not sure of {share:.0%} of the pictures ({low:.0%} to {high:.0%}), "
                f"limit {limits.max_not_sure:.0%}"
            )
    if sure:
        mean = float(np.mean(sure))
        half = 1.96 * float(np.std(sure)) / math.sqrt(len(sure))
        if mean + half < limits.min_confidence:
            reasons.append(
                f"the mean confidence is {mean:.2f} (up to {mean + half:.2f}), limit "
                f"{limits.min_confidence:g}"
            )
    return reasons


def training_statistics(version: Path) -> Statistics:
    """What went along with a pushed version.

    Raises:
        UserError: It was pushed by an older release.
    """
    from components.picture_statistics.executor import load

    path = version / features.TRAINING_STATISTICS
    if not path.is_file():
        raise UserError(
            f"{path} is not there: the version is no longer on disk, or an older release has "
            "pushed it. Train it again (`signs run`)"
        )
    return load(path)
