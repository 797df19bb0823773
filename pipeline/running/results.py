"""What came out of a run, read from the artifacts of its components.

Evaluator's metrics and validation, the serving check's and Pusher's properties -> Results
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import validation_result_pb2
from tfx.components.evaluator import constants as evaluator_constants
from tfx.types import Artifact

from components.serving_check.executor import BLESSED_PROPERTY, RESULT_FILE
from modules import evaluation
from modules.trainer import HISTORY
from pipeline.running.history import Tuned, Unmet
from pipeline.running.local_runner import Outcome
from pipeline.running.tuning import read_tuned


@dataclass(frozen=True)
class Results:
    """What a run made of its data."""

    accuracy: float  # on the test split, in [0, 1]
    metrics: dict[str, float]  # on the test split; accuracy by class as `accuracy/{class name}`
    baseline: str | None  # folder of the model that had to be matched, if there was one
    blessed: bool
    not_blessed_reasons: tuple[Unmet, ...]
    serving_check_passed: bool
    serving_check: str  # in words
    pushed_version: int | None
    pushed_to: str | None  # the base path that a model server polls
    reused_model: bool  # nothing was trained: an earlier run's model stands
    fit_s: float  # of the training of the model, in this run or in the one that is reused
    tuned: Tuned | None  # what the Tuner found, if there was one
    base_model: str | None  # folder of the model whose weights the training started from


def collect(outcomes: Mapping[str, Outcome]) -> Results:
    """Reads the results of a run.

    Args:
        outcomes: what `run_pipeline` returned for a pipeline of `create_pipeline`.

    Returns:
        The results, those of reused components included.
    """

    def output(component: str, key: str) -> Artifact:
        return outcomes[component].outputs[key][0]

    evaluation_dir = output("Evaluator", "evaluation").uri
    baselines = outcomes["Baseline"].outputs.get("model", [])
    blessing = output("Evaluator", "blessing")
    check = json.loads((Path(output("ServingCheck", "blessing").uri) / RESULT_FILE).read_text())
    pushed = output("Pusher", "pushed_model")
    destination = None
    if pushed.get_int_custom_property("pushed"):
        destination = Path(pushed.get_string_custom_property("pushed_destination"))
    history = json.loads((Path(output("Trainer", "model_run").uri) / HISTORY).read_text())
    metrics = read_metrics(evaluation_dir, compared=bool(baselines))
    return Results(
        accuracy=metrics[evaluation.ACCURACY],
        metrics=metrics,
        baseline=baselines[0].uri if baselines else None,
        blessed=bool(
            blessing.get_int_custom_property(evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY)
        ),
        not_blessed_reasons=read_unmet(tfma.load_validation_result(evaluation_dir)),
        serving_check_passed=bool(check[BLESSED_PROPERTY]),
        serving_check=check["reason"],
        pushed_version=int(destination.name) if destination else None,
        pushed_to=str(destination.parent) if destination else None,
        reused_model=outcomes["Trainer"].reused,
        fit_s=history["fit_s"],
        tuned=read_tuned(outcomes["Tuner"].outputs) if "Tuner" in outcomes else None,
        base_model=read_start(outcomes),
    )


def read_start(outcomes: Mapping[str, Outcome]) -> str | None:
    """The folder of the model whose weights the training started from; None for random weights."""
    models = outcomes["WarmStart"].outputs.get("model") if "WarmStart" in outcomes else None
    return models[0].uri if models else None


def read_metrics(evaluation_dir: str, *, compared: bool = False) -> dict[str, float]:
    """Reads the metrics of the candidate.

    Args:
        evaluation_dir: the Evaluator's `evaluation` artifact.
        compared: whether a baseline was evaluated beside it.

    Returns:
        Numbers over all test images by metric name, and `accuracy/{class name}` for each class.
    """
    candidate = tfma.CANDIDATE_KEY if compared else None
    result = tfma.load_eval_result(evaluation_dir, model_name=candidate)
    metrics: dict[str, float] = {}
    for slice_key, by_output in result.slicing_metrics:
        for name, value in by_output[""][""].items():
            if "doubleValue" not in value:
                continue
            if slice_key == ():
                metrics[name] = float(value["doubleValue"])
            elif name == evaluation.ACCURACY:
                metrics[f"{name}/{slice_key[0][1]}"] = float(value["doubleValue"])
    return metrics


def read_unmet(result: validation_result_pb2.ValidationResult) -> tuple[Unmet, ...]:
    """The thresholds that the candidate missed, those over all images first."""
    unmet = []
    for by_slice in result.metric_validations_per_slice:
        name = ", ".join(
            f"{key.column} {key.bytes_value.decode(errors='replace')}"
            for key in by_slice.slice_key.single_slice_keys
        )
        for failure in by_slice.failures:
            threshold = failure.metric_threshold
            is_change = failure.metric_key.is_diff
            unmet.append(
                Unmet(
                    metric=failure.metric_key.name.removesuffix("_diff"),
                    threshold=(
                        threshold.change_threshold.absolute.value
                        if is_change
                        else threshold.value_threshold.lower_bound.value
                    ),
                    value=failure.metric_value.double_value.value,
                    kind="change" if is_change else "absolute",
                    slice=name or None,
                )
            )
    return tuple(sorted(unmet, key=lambda one: one.slice or ""))
