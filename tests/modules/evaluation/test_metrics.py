"""Our metrics beside their definitions; at work in TFMA, the Evaluator's tests show them."""

import numpy as np
import pytest
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from modules.evaluation.metrics import BINS, CalibrationError, PIfWorse


def inputs(right: bool, confidence: float | None, top: float = 1.0) -> dict[str, np.ndarray]:
    """What a model answers to an image of class 0."""
    probabilities = np.array([top, 1 - top] if right else [1 - top, top], np.float32)
    answer = {"probabilities": probabilities}
    return answer if confidence is None else {**answer, "confidence": np.float32(confidence)}


def computed(
    computations: list[metric_types.MetricComputation], predictions: list[dict[str, np.ndarray]]
) -> dict[str, float]:
    """Runs the combiner as Beam does, in two parts."""
    [computation] = computations
    combiner = computation.combiner
    halves = []
    for half in (predictions[::2], predictions[1::2]):
        sums = combiner.create_accumulator()
        for one in half:
            element = metric_types.StandardMetricInputs(
                {"labels": np.array([0]), "predictions": one}
            )
            sums = combiner.add_input(sums, element)
        halves.append(sums)
    values = combiner.extract_output(combiner.merge_accumulators(halves))
    return {key.name: value for key, value in values.items()}


def test_the_calibration_error_is_the_expected_one() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.2, 1, 200)
    right = random.uniform(size=200) < confidence**2
    found = computed(CalibrationError().computations(), list(map(inputs, right, confidence)))
    which = np.digitize(confidence, np.linspace(0, 1, BINS + 1)) - 1
    expected = sum(
        (which == one).mean() * abs(right[which == one].mean() - confidence[which == one].mean())
        for one in set(which)
    )
    assert found == {"calibration_error": pytest.approx(expected, abs=1e-6)}
    assert expected > 0.1


def test_without_a_confidence_the_highest_probability_is_one() -> None:
    answers = [inputs(True, None, 0.75), inputs(False, None, 0.75), inputs(True, None)]
    found = computed(CalibrationError().computations(), answers)
    assert found["calibration_error"] == pytest.approx((2 * 0.25 + 0) / 3)


def test_two_models_are_paired_image_by_image() -> None:
    specs = [
        config_pb2.ModelSpec(name="candidate"),
        config_pb2.ModelSpec(name="baseline", is_baseline=True),
    ]
    computations = PIfWorse().computations(
        eval_config=config_pb2.EvalConfig(model_specs=specs),
        model_names=["candidate", "baseline"],
    )
    pairs = [(True, True)] * 5 + [(True, False)] * 1 + [(False, True)] * 8 + [(False, False)] * 2
    answers = [
        {"candidate": inputs(ours, 0.9), "baseline": inputs(theirs, 0.9)} for ours, theirs in pairs
    ]
    found = computed(computations, answers)
    # Two-sided and exact: twice (1 + 9) / 2^9.
    assert found == {
        "p_if_worse": pytest.approx(20 / 512),
        "only_candidate_right": 1,
        "only_baseline_right": 8,
    }
    swapped = [{"candidate": one["baseline"], "baseline": one["candidate"]} for one in answers]
    assert computed(computations, swapped)["p_if_worse"] == 1
