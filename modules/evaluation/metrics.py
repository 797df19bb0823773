"""Metrics that TFMA does not have: what an accuracy proves, calibration, and two models paired.

TFMA finds them by their names in the configuration, in whatever process a bundle is worked on.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util

from modules.evaluation.checks import ACCURACY, CALIBRATION_ERROR, EXAMPLE_COUNT, PROVEN, WORSE_P
from modules.evaluation.evidence import mcnemar, proven
from signs import features

Inputs: TypeAlias = metric_types.StandardMetricInputs
Values: TypeAlias = dict[metric_types.MetricKey, float]
WON, LOST = "only_candidate_right", "only_baseline_right"
BINS = 10  # of the expected calibration error, of equal width


class ProvenAccuracy(tfma.metrics.Metric):
    """The accuracy that the images prove: see `modules.evaluation.evidence.proven`.

    It is made of the metrics `accuracy` and `example_count`, which the configuration must have.
    """

    def __init__(self, name: str = PROVEN) -> None:
        super().__init__(metric_util.merge_per_key_computations(_proven_accuracy), name=name)


class CalibrationError(tfma.metrics.Metric):
    """Expected calibration error of the answers' confidence (Naeini et al. 2015), in [0, 1].

    The confidence is the model's own where it tells one, else the highest probability.
    """

    def __init__(self, name: str = CALIBRATION_ERROR) -> None:
        super().__init__(metric_util.merge_per_key_computations(_calibration_error), name=name)


class PIfWorse(tfma.metrics.Metric):
    """McNemar's p where the candidate has fewer images right than the baseline, else 1.

    It comes with the numbers of images that only the one and only the other has right.
    """

    def __init__(self, name: str = WORSE_P) -> None:
        super().__init__(_p_if_worse, name=name)


def _proven_accuracy(
    name: str, model_name: str = "", output_name: str = "", example_weighted: bool = False
) -> metric_types.MetricComputations:
    key = partial(
        metric_types.MetricKey,
        model_name=model_name,
        output_name=output_name,
        example_weighted=example_weighted,
    )

    def result(metrics: Values) -> Values:
        accuracy, count = metrics[key(ACCURACY)], metrics[key(EXAMPLE_COUNT)]
        return {key(name): proven(float(accuracy), round(float(count)))}

    return [metric_types.DerivedMetricComputation(keys=[key(name)], result=result)]


def _calibration_error(name: str, model_name: str = "") -> metric_types.MetricComputations:
    key = metric_types.MetricKey(name=name, model_name=model_name)

    def told(sums: np.ndarray) -> Values:
        _, right, confidence = sums
        return {key: float(np.abs(right - confidence).sum() / max(sums[0].sum(), 1))}

    counts = partial(_by_confidence, model_name=model_name)
    combiner = _Sums((3, BINS), counts, told)
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]


def _p_if_worse(
    name: str, eval_config: config_pb2.EvalConfig, model_names: Iterable[str]
) -> metric_types.MetricComputations:
    baseline = model_util.get_baseline_model_spec(eval_config).name
    [candidate] = [one for one in model_names if one != baseline]
    keys = [metric_types.MetricKey(name=one, model_name=candidate) for one in (name, WON, LOST)]

    def told(sums: np.ndarray) -> Values:
        won, lost = map(int, sums)
        p = mcnemar(won, lost) if lost > won else 1.0
        return dict(zip(keys, (p, won, lost), strict=True))

    counts = partial(_discordant, candidate=candidate, baseline=baseline)
    combiner = _Sums((2,), counts, told)
    return [metric_types.MetricComputation(keys=keys, preprocessors=None, combiner=combiner)]


class _Sums(beam.CombineFn):
    """Adds up what each example counts for."""

    def __init__(
        self,
        shape: tuple[int, ...],
        counts: Callable[[Inputs], np.ndarray],
        told: Callable[[np.ndarray], Values],
    ) -> None:
        self._shape, self._counts, self._told = shape, counts, told

    def create_accumulator(self) -> np.ndarray:
        return np.zeros(self._shape)

    def add_input(self, sums: np.ndarray, inputs: Inputs) -> np.ndarray:
        return sums + self._counts(inputs)

    def merge_accumulators(self, all_sums: Iterable[np.ndarray]) -> np.ndarray:
        return np.sum([*all_sums], axis=0)

    def extract_output(self, sums: np.ndarray) -> Values:
        return self._told(sums)


def _discordant(inputs: Inputs, *, candidate: str, baseline: str) -> np.ndarray:
    """Whether only the candidate, and whether only the baseline is right: float [2]."""
    ours, theirs = _is_right(inputs, candidate), _is_right(inputs, baseline)
    return np.array([ours and not theirs, theirs and not ours], float)


def _by_confidence(inputs: Inputs, *, model_name: str) -> np.ndarray:
    """One example, whether it is right, and its confidence, in its bin: float [3, BINS]."""
    predictions = inputs.get_predictions(model_name)
    told = predictions.get(features.CONFIDENCE)
    confidence = np.max(predictions[features.PROBABILITIES]) if told is None else np.max(told)
    counts = np.zeros((3, BINS))
    which = min(int(confidence * BINS), BINS - 1)
    counts[:, which] = 1, _is_right(inputs, model_name), confidence
    return counts


def _is_right(inputs: Inputs, model_name: str) -> bool:
    probabilities = inputs.get_predictions(model_name)[features.PROBABILITIES]
    [label] = np.ravel(inputs.get_labels(model_name))
    return bool(np.argmax(probabilities) == label)
