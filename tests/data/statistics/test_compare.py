"""Statistics of rows that come in batches, beside those that TFDV makes of all at once."""

import tracemalloc
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from data.statistics.compare import (
    FEATURES,
    Statistics,
    anomalies,
    describe,
    fences,
    statistics_of,
)
from data.statistics.measure import NUMBERS
from data.statistics.odd import odd
from tests.data.statistics.rows import changed, cut, measured, shuffled

LIMITS = text_format.Parse(
    """
    feature { name: "brightness" type: FLOAT
      drift_comparator { jensen_shannon_divergence { threshold: 0.15 } }
      float_domain { min: 0.4 } }
    feature { name: "aspect" type: BYTES
      drift_comparator { infinity_norm { threshold: 0.15 } } }
    """,
    schema_pb2.Schema(),
)


def at_once(batch: pa.RecordBatch) -> Statistics:
    """By TFDV's public function, which takes a frame."""
    frame = batch.select([*FEATURES]).to_pandas()
    for name in NUMBERS:
        low, high = np.percentile(frame[name], [25, 75])
        frame[name] = frame[name].clip(low - 3 * (high - low), high + 3 * (high - low))
    return tfdv.generate_statistics_from_dataframe(frame)


def without_sums(statistics: Statistics) -> Statistics:
    """The same, but for what is summed up: the order of a sum decides about its last bits."""
    left = Statistics()
    left.CopyFrom(statistics)
    for feature in left.datasets[0].features:
        if feature.HasField("num_stats"):
            feature.num_stats.ClearField("mean")
            feature.num_stats.ClearField("std_dev")
        else:
            feature.string_stats.ClearField("avg_length")
    return left


@pytest.mark.parametrize("rows", [100, 3333, 20_000])
def test_statistics_of_batches_are_those_of_all_at_once(rows: int) -> None:
    far_out = {3: {"brightness": 40.0}, 4000: {"sharpness": -9.0}}
    batch = changed(measured(0, 10_000), far_out)
    expected = at_once(batch)
    for batches in (cut(batch, rows), cut(shuffled(batch), rows)):
        found = statistics_of(batches)
        assert without_sums(found) == without_sums(expected)
        features = (one.datasets[0].features for one in (found, expected))
        for own, other in zip(*features, strict=True):
            assert own.num_stats.mean == pytest.approx(other.num_stats.mean, rel=1e-12)
            assert own.num_stats.std_dev == pytest.approx(other.num_stats.std_dev, rel=1e-12)
    assert found.datasets[0].num_examples == 10_000
    assert describe(found)["brightness"].max == fences([batch], "brightness")[1] < 40
    assert describe(found)["sharpness"].min == fences([batch], "sharpness")[0] > -9


def test_fences_are_three_times_the_distance_of_the_quartiles_beyond_them() -> None:
    batch = changed(measured(0, 5), {n: {"contrast": float(n)} for n in range(5)})
    for rows in (1, 2, 5):
        assert fences(cut(batch, rows), "contrast") == (1 - 3 * 2, 3 + 3 * 2)
    same = changed(batch, {n: {"contrast": 0.5} for n in range(4)})
    assert fences([same], "contrast") == fences([], "contrast") == (-np.inf, np.inf)


@pytest.mark.parametrize("rows", [1, 70, 5000])
def test_examples_are_the_farthest_whatever_the_batches(rows: int) -> None:
    before = statistics_of([measured(0, 500)])
    # Three are farther than all others, and two of them equally far.
    far = {40: {"brightness": 0.99}, 30: {"brightness": 0.99}, 20: {"brightness": 0.97}}
    wide = {number: {"aspect": "2:1"} for number in range(11, 500, 2)}
    batch = changed(changed(measured(1, 500, 0.75), far), wide)
    now = statistics_of([batch])
    for batches in (cut(batch, rows), cut(shuffled(batch), rows)):
        found = {
            one.feature: one
            for one in anomalies(
                *(batches, now, before, LIMITS), kind="drift", split="train", against="span 1"
            )
        }
        ids = {name: [example.id for example in one.examples] for name, one in found.items()}
        assert ids == {
            "brightness": ["1/0000030", "1/0000040", "1/0000020"],
            "aspect": ["1/0000000", "1/0000007", "1/0000011"],
        }
        assert found["aspect"].examples[0].value == "2:1"
        assert "such as 1/0000030 (0.99)" in found["brightness"].text


def test_a_feature_that_has_become_one_value_has_examples() -> None:
    before = statistics_of([measured(0, 500)])
    median = describe(before)["brightness"].median
    batch = changed(measured(1, 200), {n: {"brightness": median} for n in range(200)})
    [found] = anomalies(
        *([batch], statistics_of([batch]), before, LIMITS),
        kind="drift",
        split="train",
        against="span 1",
    )
    assert [one.id for one in found.examples] == ["1/0000000", "1/0000001", "1/0000002"]


class Made:
    """Batches that are made when they are asked for; looks at the memory that is held then."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.held = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for number in range(self.batches):
            yield measured(number, 2000, 0.35)
            python, _ = tracemalloc.get_traced_memory()  # NumPy tells it of its arrays, too
            self.held = max(self.held, python + pa.total_allocated_bytes())


def _statistics(rows: Iterable[pa.RecordBatch]) -> None:
    statistics_of(rows)


def _odd(rows: Iterable[pa.RecordBatch]) -> None:
    counts, _ = odd(rows, LIMITS)
    assert counts["dark"] > 4000


def _anomalies(rows: Iterable[pa.RecordBatch]) -> None:
    now, before = (statistics_of([measured(1, 500, light)]) for light in (0.35, 0.5))
    assert [*anomalies(*(rows, now, before, LIMITS), kind="drift", split="train", against="span 1")]


@pytest.mark.parametrize("do", [_statistics, _odd, _anomalies])
def test_a_picture_takes_the_memory_of_one_number(
    do: Callable[[Iterable[pa.RecordBatch]], None],
) -> None:
    held = []
    tracemalloc.start()
    try:
        for batches in (4, 4, 16):  # the first makes what is made once
            before = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes()
            rows = Made(batches)
            do(rows)
            held.append(rows.held - before)
    finally:
        tracemalloc.stop()
    assert (held[2] - held[1]) / (12 * 2000) < 12  # bytes; a row has over 100
