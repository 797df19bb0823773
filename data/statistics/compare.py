"""How far apart two sets of pictures are, by TFDV's comparators and the schema's thresholds.

rows of `data.statistics.collect` -> TFDV's statistics -+-> distances -> anomalies, with examples
                                those of other pictures -+

Rows are gone through in batches, as often as it takes. Of each picture one number is held (8 bytes,
and as many for a copy) while the quartiles of a feature are looked for, and nothing else.

The features are derived: they are in no Example, and the schema says so (VALIDATION_DERIVED).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

from data.statistics.measure import NUMBERS, WORDS
from data.statistics.report import Anomaly, Example, Numbers, Words
from data.statistics.shares import share
from data.statistics.worst import Worst
from signs.features import CLASS_NAME

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList
Kind: TypeAlias = Literal["drift", "skew"]

FEATURES = (*NUMBERS, *WORDS, CLASS_NAME)
# Of fewer pictures two halves of SIGNS are as far apart as the schema's limits allow.
MIN_PICTURES = 100
MEASURES = {
    "jensen_shannon_divergence": "Jensen-Shannon divergence",
    "l_infty": "largest difference of a share",
}
_SHOWN = 3


@dataclass(frozen=True)
class Distance:
    """How far apart two distributions of a feature are; see `data.statistics.report.Anomaly`."""

    feature: str
    measure: str
    value: float
    limit: float


def statistics_of(rows: Iterable[pa.RecordBatch]) -> Statistics:
    """TFDV's statistics of pictures, as they are kept: FeatureStats.pb.

    What is far out counts at the fence: else one black picture would stretch the histogram, and
    with it the distance, until nothing else is told apart. `data.statistics.odd` tells of it.

    Args:
        rows: Are gone through several times.
    """
    limits = {name: fences(rows, name) for name in NUMBERS}
    # As `tfdv.generate_statistics_from_dataframe` does it, which wants all pictures at once.
    generators = stats_impl.get_generators(tfdv.StatsOptions(), in_memory=True)
    sums = [one.create_accumulator() for one in generators]
    for batch in rows:
        clipped = {
            name: pa.array(batch[name].to_numpy().clip(*limit)) for name, limit in limits.items()
        }
        columns = {name: clipped.get(name, batch[name]) for name in FEATURES}
        given = CanonicalizeRecordBatch(pa.RecordBatch.from_pydict(columns))
        sums = [one.add_input(of, given) for one, of in zip(generators, sums, strict=True)]
    return stats_impl.extract_statistics_output(sums, generators)


def fences(rows: Iterable[pa.RecordBatch], feature: str) -> tuple[float, float]:
    """What is beyond is far out (Tukey 1977): three times the quartiles' distance beyond them."""
    values = np.concatenate([np.empty(0), *(batch[feature].to_numpy() for batch in rows)])
    quartiles = [25, 75]
    low, high = np.percentile(values, quartiles, overwrite_input=True) if len(values) else (0, 0)
    if low == high:
        return -np.inf, np.inf
    return float(low - 3 * (high - low)), float(high + 3 * (high - low))


def describe(statistics: Statistics) -> dict[str, Numbers | Words]:
    """The distributions by feature."""
    found: dict[str, Numbers | Words] = {}
    for feature in statistics.datasets[0].features:
        name = feature.path.step[0]
        if name in NUMBERS:
            one = feature.num_stats
            # The first of the histograms has parts of equal width.
            histogram = [
                (b.low_value, b.high_value, b.sample_count) for b in one.histograms[0].buckets
            ]
            found[name] = Numbers(
                one.common_stats.num_non_missing,
                *(one.mean, one.std_dev, one.min, one.median, one.max),
                tuple(histogram),
            )
        elif name in FEATURES:
            buckets = feature.string_stats.rank_histogram.buckets
            found[name] = Words({b.label: round(b.sample_count) for b in buckets})
    return found


def picture_schema(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """The comparators of a schema alone: an Example's other features are no matter here.

    A domain says which single pictures are odd (`data.statistics.odd`), and not what has changed.
    """
    only = schema_pb2.Schema()
    for feature in schema.feature:
        if feature.name in FEATURES:
            kept = only.feature.add(name=feature.name, type=feature.type)
            kept.skew_comparator.CopyFrom(feature.skew_comparator)
            kept.drift_comparator.CopyFrom(feature.drift_comparator)
    return only


def distances(
    statistics: Statistics, others: Statistics, schema: schema_pb2.Schema, kind: Kind
) -> list[Distance]:
    """How far apart each feature is that the schema has such a comparator for.

    Args:
        statistics: Of the pictures that are looked at.
        others: Of those that they are compared with.
        schema: With the limits.
        kind: Which of its comparators.
    """
    only = picture_schema(schema)
    if kind == "drift":
        found = tfdv.validate_statistics(statistics, only, previous_statistics=others)
    else:
        found = tfdv.validate_statistics(others, only, serving_statistics=statistics)
    names = anomalies_pb2.DriftSkewInfo.Measurement.Type
    return [
        Distance(info.path.step[0], names.Name(one.type).lower(), one.value, one.threshold)
        for info in found.drift_skew_info
        for one in (info.drift_measurements if kind == "drift" else info.skew_measurements)
    ]


def anomalies(
    rows: Iterable[pa.RecordBatch],
    statistics: Statistics,
    others: Statistics,
    schema: schema_pb2.Schema,
    *,
    kind: Kind,
    split: str,
    against: str,
) -> Iterator[Anomaly]:
    """Yields what is farther apart than the schema allows, with pictures that show it.

    Args:
        rows: The pictures that are looked at; gone through for each that is found.
        statistics: Theirs.
        others: Of those that they are compared with.
        schema: With the limits.
        kind: Which of its comparators.
        split: What the pictures are called.
        against: What the others are called.
    """
    now, then = describe(statistics), describe(others)
    for found in distances(statistics, others, schema, kind):
        if found.value <= found.limit:
            continue
        examples = _examples(rows, found.feature, now[found.feature], then[found.feature])
        shown = ", ".join(f"{one.id} ({_words(one.value)})" for one in examples)
        change = _change(now[found.feature], then[found.feature])
        text = (
            f"{found.feature} of the {split} pictures is not that of {against}: "
            f"{MEASURES[found.measure]} {found.value:.2f}, limit {found.limit:g}; {change}; "
            f"such as {shown}"
        )
        yield Anomaly(
            kind=kind,
            split=split,
            against=against,
            text=text,
            examples=examples,
            **vars(found),
        )


def _change(now: Numbers | Words, then: Numbers | Words) -> str:
    if isinstance(now, Numbers) and isinstance(then, Numbers):
        return f"the mean is {now.mean:.3g}, there {then.mean:.3g}"
    assert isinstance(now, Words) and isinstance(then, Words)
    word = _risen(now, then)
    return f"{word} is {share(now, word):.0%}, there {share(then, word):.0%}"


def _examples(
    rows: Iterable[pa.RecordBatch], feature: str, now: Numbers | Words, then: Numbers | Words
) -> tuple[Example, ...]:
    """The pictures that are least like those of before."""
    worst = Worst(_SHOWN)
    for batch in rows:
        if isinstance(now, Numbers) and isinstance(then, Numbers):
            far = np.abs(batch[feature].to_numpy() - then.median)
            found = [(row, distance, feature) for row, distance in enumerate(far.tolist())]
        else:
            assert isinstance(now, Words) and isinstance(then, Words)
            word, words = _risen(now, then), batch[feature].to_pylist()
            found = [(row, 0.0, feature) for row, own in enumerate(words) if own == word]
        worst.add(batch, found)
    return worst.examples


def _risen(now: Words, then: Words) -> str:
    """The word whose share has grown most."""
    return max(sorted(now.counts), key=lambda word: share(now, word) - share(then, word))


def _words(value: float | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else value
