"""What came out of a run, read from the artifacts of its components.

Evaluator's metrics and validation, the serving check's and Pusher's properties -> RunResult
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tfx.components.evaluator import constants as evaluator_constants
from tfx.types import Artifact

from components.evaluator.executor import further_evaluation
from components.leakage_guard.executor import load_leaks
from components.serving_check.executor import BLESSED_PROPERTY, RESULT_FILE
from data.statistics import report as pictures
from data.suspects.report import Suspects
from modules import evaluation
from modules.evaluation.evidence import wilson
from modules.evaluation.verdict import Row, Verdict, read
from modules.trainer import HISTORY
from pipeline.config import PipelineConfig
from pipeline.running.local_runner import NodeResult
from pipeline.running.summary import (
    AlsoTested,
    RunResult,
    Served,
    Tuned,
    Unmet,
    Weakest,
    WithoutTwins,
)
from pipeline.showing.wording import percent, shorten
from signs import features

_SUSPECTS = 25  # that a run's result has; the artifact has more


def collect(nodes: Mapping[str, NodeResult], config: PipelineConfig) -> RunResult:
    """Reads the results of a run.

    Args:
        nodes: what `run_pipeline` returned for a pipeline of `create_pipeline`.
        config: what the pipeline was created from.

    Returns:
        The results, those of reused components included.
    """

    def output(component: str, key: str) -> Artifact:
        return nodes[component].outputs[key][0]

    evaluation_dir = output("Evaluator", "evaluation").uri
    blessing = output("Evaluator", "blessing")
    verdict = read(Path(blessing.uri))
    check = json.loads((Path(output("ServingCheck", "blessing").uri) / RESULT_FILE).read_text())
    destination = pushed_version(nodes)
    history = json.loads((Path(output("Trainer", "model_run").uri) / HISTORY).read_text())
    evaluated = load_evaluation(
        evaluation_dir, compared=bool(nodes["Baseline"].outputs.get("model"))
    )
    metrics = read_metrics(evaluated)
    blessed = bool(
        blessing.get_int_custom_property(evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY)
    )
    return RunResult(
        accuracy=metrics[evaluation.ACCURACY],
        accuracy_interval=wilson(
            metrics[evaluation.ACCURACY], int(metrics[evaluation.EXAMPLE_COUNT])
        ),
        weakest=read_weakest(evaluated, config.data.class_names),
        simple_answers=verdict.simple_answers if verdict else None,
        leaks=load_leaks(output("LeakageGuard", "leaks").uri),
        pictures=pictures.read(Path(output("PictureStatistics", "anomalies").uri)).notes,
        suspects=_suspects(nodes),
        without_twins=read_without_twins(evaluated),
        metrics=dict(metrics),
        also_tested=tuple(_also_tested(evaluation_dir, config)),
        blessed=blessed,
        not_blessed_reasons=read_unmet(verdict, config.evaluate.min_accuracy_on) if verdict else (),
        verdict=verdict,
        infra_blessed=bool(check[BLESSED_PROPERTY]) if blessed else None,
        served=_served(check),
        pushed_version=int(destination.name) if destination else None,
        pushed_to=str(destination.parent) if destination else None,
        reused_model=nodes["Trainer"].reused,
        tuned=read_tuned(nodes["Tuner"].outputs) if "Tuner" in nodes else None,
        base_model=read_start(nodes),
        passed_over=nodes["Baseline"].passed_over,
        warm_start=history.get("warm_start"),
        calibration=history.get("calibration", {}),
        report=nodes["RunReport"].outputs["report"][0].uri if "RunReport" in nodes else None,
        fit_s=history["fit_s"],
    )


def _suspects(nodes: Mapping[str, NodeResult]) -> Suspects | None:
    if "SuspectLabels" not in nodes:
        return None
    found = Suspects.read(Path(nodes["SuspectLabels"].outputs["suspects"][0].uri))
    return replace(found, suspects=found.suspects[:_SUSPECTS])


def _served(check: Mapping[str, Any]) -> Served | None:
    if not check.get("precision"):
        return None
    return Served(**{field.name: check[field.name] for field in fields(Served)})


def _also_tested(evaluation_dir: str, config: PipelineConfig) -> Iterator[AlsoTested]:
    for name, least in config.evaluate.min_accuracy_on.items():
        evaluated = load_evaluation(further_evaluation(evaluation_dir, name))
        metrics = read_metrics(evaluated)
        accuracy = metrics[evaluation.ACCURACY]
        images = int(metrics[evaluation.EXAMPLE_COUNT])
        yield AlsoTested(
            name=name,
            images=images,
            accuracy=accuracy,
            accuracy_interval=wilson(accuracy, images),
            weakest=read_weakest(evaluated, config.data.class_names),
            min_accuracy=least,
            metrics=dict(metrics),
        )


def pushed_version(nodes: Mapping[str, NodeResult]) -> Path | None:
    """The folder of the version that was pushed, or was there already; None if none was."""
    [pushed] = nodes["Pusher"].outputs["pushed_model"]
    if not pushed.get_int_custom_property("pushed"):
        return None
    return Path(pushed.get_string_custom_property("pushed_destination"))


def note(node: NodeResult) -> str | None:
    """A few words about what came out of a node, where there is something to say."""
    models = node.outputs.get("model", [])
    passed_over = "; ".join(shorten(node.passed_over))
    none, but = "no blessed model yet", ""
    if passed_over:
        none, but = f"no blessed model can be used, as {passed_over}", f"; {passed_over}"
    match node.id:
        case "Baseline":
            return f"model {models[0].id} to beat{but}" if models else none
        case "WarmStart":
            return f"from model {models[0].id}{but}" if models else f"{none}: from scratch"
        case "Tuner":
            tuned = read_tuned(node.outputs)
            return f"best of {tuned.trials}: {percent(tuned.accuracy)} on eval"
    return None


def read_tuned(outputs: Mapping[str, list[Artifact]]) -> Tuned:
    """Reads the best hyperparameters.

    Args:
        outputs: the Tuner's, by key.
    """
    [best], [results] = outputs["best_hyperparameters"], outputs["tuner_results"]
    [path] = Path(best.uri).iterdir()
    [rows] = Path(results.uri).iterdir()
    trials = json.loads(rows.read_text())
    return Tuned(
        hyperparameters=json.loads(path.read_text())["values"],
        accuracy=max(trial["score"] for trial in trials),
        trials=len(trials),
    )


def read_start(nodes: Mapping[str, NodeResult]) -> str | None:
    """The folder of the model whose weights the training started from; None for random weights."""
    models = nodes["WarmStart"].outputs.get("model") if "WarmStart" in nodes else None
    return models[0].uri if models else None


def load_evaluation(evaluation_dir: str, *, compared: bool = False) -> tfma.EvalResult:
    """Reads what TFMA found of the candidate.

    Args:
        evaluation_dir: the Evaluator's `evaluation` artifact.
        compared: whether a baseline was evaluated beside it.
    """
    return tfma.load_eval_result(
        evaluation_dir, model_name=tfma.CANDIDATE_KEY if compared else None
    )


def read_metrics(result: tfma.EvalResult) -> dict[str, float]:
    """Numbers over all test images by metric name, and `accuracy/{class name}` for each class."""
    metrics: dict[str, float] = {}
    for slice_key, by_output in result.slicing_metrics:
        for name, value in by_output[""][""].items():
            if "doubleValue" not in value:
                continue
            if slice_key == ():
                metrics[name] = float(value["doubleValue"])
            elif name == evaluation.ACCURACY and slice_key[0][0] == features.CLASS_NAME:
                metrics[f"{name}/{slice_key[0][1]}"] = float(value["doubleValue"])
    return metrics


def read_without_twins(result: tfma.EvalResult) -> WithoutTwins | None:
    """How the model does on test images of which no copy is trained on; None if there are none."""
    for slice_key, by_output in result.slicing_metrics:
        if slice_key == ((evaluation.TWIN, evaluation.NO_TWIN),):
            values = by_output[""][""]
            accuracy = float(values[evaluation.ACCURACY]["doubleValue"])
            images = int(values[evaluation.EXAMPLE_COUNT]["doubleValue"])
            return WithoutTwins(images, accuracy, wilson(accuracy, images))
    return None


def read_weakest(result: tfma.EvalResult, class_names: Sequence[str]) -> Weakest | None:
    """The class that is recognised least, from the confusion matrix; None where all is right."""
    [matrix] = [
        plots[""][""]["multiClassConfusionMatrixAtThresholds"]["matrices"][0]
        for slice_key, plots in result.plots
        if slice_key == ()
    ]
    counts = np.zeros([len(class_names), len(class_names)], int)
    for entry in matrix["entries"]:  # a zero is left out
        row, column = entry.get("actualClassId", 0), entry.get("predictedClassId", 0)
        counts[row, column] = round(entry.get("numWeightedExamples", 0))
    images, right = counts.sum(axis=1), counts.diagonal()
    accuracy = np.where(images > 0, right / np.maximum(images, 1), np.inf)
    weakest = int(accuracy.argmin())
    if right[weakest] == images[weakest]:
        return None
    wrong = counts[weakest].copy()
    wrong[weakest] = 0
    taken_for = int(wrong.argmax())
    return Weakest(
        class_names[weakest],
        float(accuracy[weakest]),
        int(images[weakest]),
        class_names[taken_for],
        int(wrong[taken_for]),
    )


def read_unmet(verdict: Verdict, further: Collection[str]) -> tuple[Unmet, ...]:
    """The rows that do not pass, in short; `further` names the further test sets."""
    return tuple(_unmet(row, further) for row in verdict.rows if not row.passes)


def _unmet(row: Row, further: Collection[str]) -> Unmet:
    slices = {"class": features.CLASS_NAME, "corruption": evaluation.CORRUPTION}
    if row.check in slices:
        where = f"{slices[row.check]} {row.on}"
        return Unmet(evaluation.ACCURACY, row.limit, row.held, slice=where)
    is_change = row.check == "change"
    return Unmet(
        metric=evaluation.ACCURACY if is_change else row.check,
        threshold=row.limit,
        value=row.held,
        kind="change" if is_change else "absolute",
        test_set=row.on if row.on in further else None,
    )
