"""What came out, read from artifacts: what was missed, what the Tuner found, a word on a node."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow_model_analysis as tfma
from tfx.types import Artifact
from tfx.types.standard_artifacts import HyperParameters, Model, TunerResults

from modules.evaluation.verdict import Row, Verdict
from pipeline.running.local_runner import NodeResult
from pipeline.running.results import (
    note,
    read_metrics,
    read_start,
    read_tuned,
    read_unmet,
    read_weakest,
    read_without_twins,
)
from pipeline.running.summary import Tuned, Unmet, Weakest


def test_what_did_not_pass_is_told_in_short() -> None:
    def row(check: str, on: str, value: float | None, low: float | None, limit: float) -> Row:
        return Row(check, on, value, low, low and 0.9, limit, False, 20, "why")

    verdict = Verdict(
        False,
        (
            row("accuracy", "test", 0.9, 0.7, 0.8),
            row("accuracy", "shop", 0.6, 0.4, 0.5),
            row("accuracy", "test without copies", None, None, 0.8),
            row("calibration error", "test", 0.3, None, 0.15),
            row("change", "test", -0.03, None, -0.01),
            row("class", "grün", 0.5, 0.25, 0.5),
            row("corruption", "blur", 0.5, 0.25, 0.5),
            replace(row("class", "red", 0.9, 0.7, 0.5), passes=True),
        ),
    )
    assert read_unmet(verdict, ["shop"]) == (
        Unmet("accuracy", 0.8, 0.7),
        Unmet("accuracy", 0.5, 0.4, test_set="shop"),
        Unmet("accuracy", 0.8, None),
        Unmet("calibration error", 0.15, 0.3),
        Unmet("accuracy", -0.01, -0.03, "change"),
        Unmet("accuracy", 0.5, 0.25, slice="class_name grün"),
        Unmet("accuracy", 0.5, 0.25, slice="corruption blur"),
    )


def artifact(kind: type[Artifact], folder: Path, content: object) -> Artifact:
    folder.mkdir()
    (folder / "file.txt").write_text(json.dumps(content))
    made = kind()
    made.uri, made.id = str(folder), 7
    return made


@pytest.fixture
def tuner(tmp_path: Path) -> NodeResult:
    values = {"space": [], "values": {"learning_rate": 0.01}}
    trials = [{"score": 0.5}, {"score": 0.875}]
    outputs = {
        "best_hyperparameters": [artifact(HyperParameters, tmp_path / "best", values)],
        "tuner_results": [artifact(TunerResults, tmp_path / "results", trials)],
    }
    return NodeResult("Tuner", False, 1.0, outputs)


def test_the_best_trial_is_read(tuner: NodeResult) -> None:
    assert read_tuned(tuner.outputs) == Tuned({"learning_rate": 0.01}, 0.875, 2)
    assert note(tuner) == "best of 2: 87.5 % on eval"


@pytest.mark.parametrize(
    ("node", "with_model", "without"),
    [
        ("Baseline", "model 7 to beat", "no blessed model yet"),
        ("WarmStart", "from model 7", "no blessed model yet: from scratch"),
        ("Trainer", None, None),
    ],
)
def test_a_few_words_on_a_node(
    tmp_path: Path, node: str, with_model: str | None, without: str | None
) -> None:
    model = artifact(Model, tmp_path / "model", {})
    assert note(NodeResult(node, False, 1.0, {"model": [model]})) == with_model
    assert note(NodeResult(node, False, 1.0, {})) == without


def test_the_model_that_a_training_started_from(tmp_path: Path) -> None:
    model = artifact(Model, tmp_path / "model", {})
    warm = NodeResult("WarmStart", False, 1.0, {"model": [model]})
    assert read_start({"WarmStart": warm}) == model.uri
    assert read_start({"WarmStart": NodeResult("WarmStart", False, 1.0, {})}) is None
    assert read_start({}) is None


def evaluated(*entries: tuple[int, int, int]) -> tfma.EvalResult:
    """A result whose confusion matrix has these entries: actual, predicted, images.

    TFMA leaves zeros out, also a class 0, as JSON of protocol buffers does.
    """
    names = ("actualClassId", "predictedClassId", "numWeightedExamples")
    found = [
        {name: value for name, value in zip(names, entry, strict=True) if value}
        for entry in entries
    ]
    plots = {
        "": {"": {"multiClassConfusionMatrixAtThresholds": {"matrices": [{"entries": found}]}}}
    }
    return tfma.EvalResult([], [((), plots), ((("class_name", "a"),), {})], None, None, "", "", "")


def test_the_weakest_class_and_what_it_is_taken_for() -> None:
    result = evaluated((0, 0, 9), (0, 2, 1), (1, 1, 4), (1, 0, 1), (1, 2, 3), (2, 2, 5))
    assert read_weakest(result, "abcd") == Weakest("b", 0.5, 8, "c", 3)  # nothing is known of d
    assert read_weakest(evaluated((0, 0, 9), (1, 1, 4)), "ab") is None


def test_slices_of_twins_are_no_classes() -> None:
    def numbers(accuracy: float, images: float) -> dict:
        values = {"accuracy": accuracy, "example_count": images}
        return {"": {"": {name: {"doubleValue": value} for name, value in values.items()}}}

    slices = {
        (): numbers(0.9, 120),
        (("class_name", "none"),): numbers(0.8, 20),
        (("twin", "none"),): numbers(0.875, 104),
        (("twin", "exact"),): numbers(1.0, 12),
    }
    result = tfma.EvalResult([*slices.items()], [], None, None, "", "", "")
    assert read_metrics(result) == {
        "accuracy": 0.9,
        "example_count": 120,
        "accuracy/none": 0.8,
    }
    found = read_without_twins(result)
    assert found is not None
    assert (found.images, found.accuracy) == (104, 0.875)
    assert [round(end, 3) for end in found.accuracy_interval] == [0.798, 0.925]
    assert read_without_twins(tfma.EvalResult([], [], None, None, "", "", "")) is None
