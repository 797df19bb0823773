"""Thresholds reach TFMA's configuration, set by set; what TFMA does with it, whole runs show."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import validation_result_pb2
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import Channel
from tfx.types.standard_artifacts import (
    ExampleAnomalies,
    Examples,
    Model,
    ModelBlessing,
    ModelEvaluation,
)

from components.evaluator import Evaluator, executor
from components.evaluator.executor import Executor
from signs.errors import UserError
from tests.modules.examples import example, write_examples

THRESHOLDS = {"min_accuracy": 0.9, "min_class_accuracy": 0.7, "min_accuracy_change": 0.01}
Evaluated = dict[str, tuple[list[str], tfma.EvalConfig]]  # models and configuration by output


def made(kind: type, folder: Path, **properties: Any) -> Any:
    artifact = kind()
    artifact.uri = str(folder)
    for name, value in properties.items():
        setattr(artifact, name, value)
    return artifact


def no_leaks(root: Path) -> ExampleAnomalies:
    """What LeakageGuard writes where there is nothing."""
    leaks = made(ExampleAnomalies, root / "leaks")
    (root / "leaks").mkdir(exist_ok=True)
    (root / "leaks" / "groups.jsonl").touch()
    return leaks


@pytest.fixture
def evaluate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[Evaluated, ModelBlessing]]:
    """Runs the executor with a TFMA that only notes what it is given."""

    @contextmanager
    def no_pipeline(self: Executor) -> Iterator[None]:
        yield None

    def run(
        unmet: tuple[str, ...] = (), baseline: bool = False, sets: str | None = None, **more: Any
    ) -> tuple[Evaluated, ModelBlessing]:
        evaluated: Evaluated = {}

        def note(pipeline: object, examples: object, split: str, *rest: Any) -> None:
            models, config, output, *_ = rest
            folder = str(Path(output).relative_to(tmp_path))
            evaluated[folder] = ([model.model_name for model in models], config)
            assert split in ("test", *json.loads(sets or "[]"))

        def validated(output: str) -> validation_result_pb2.ValidationResult:
            is_met = Path(output).name not in unmet
            return validation_result_pb2.ValidationResult(validation_ok=is_met)

        monkeypatch.setattr(Executor, "_make_beam_pipeline", no_pipeline)
        monkeypatch.setattr(executor, "_evaluate", note)
        monkeypatch.setattr(tfma, "load_validation_result", validated)
        inputs = {
            "examples": [made(Examples, tmp_path / "examples", split_names='["test"]')],
            "model": [made(Model, tmp_path / "model", id=7)],
            "leaks": [no_leaks(tmp_path)],
        }
        if baseline:
            inputs["baseline_model"] = [made(Model, tmp_path / "baseline", id=4)]
        if sets:
            inputs["also_test"] = [made(Examples, tmp_path / "further", split_names=sets)]
        blessing = made(ModelBlessing, tmp_path / "blessing")
        outputs = {
            "evaluation": [made(ModelEvaluation, tmp_path / "evaluation")],
            "blessing": [blessing],
        }
        Executor().Do(inputs, outputs, {**THRESHOLDS, "class_names": '["0", "1"]', **more})
        return evaluated, blessing

    return run


def accuracy_bounds(config: tfma.EvalConfig) -> list[float]:
    return [
        one.threshold.value_threshold.lower_bound.value
        for one in config.metrics_specs[0].metrics[0].per_slice_thresholds
    ]


def test_thresholds_are_tfmas(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    evaluated, blessing = evaluate(baseline=True)
    [(output, (models, config))] = evaluated.items()
    assert (output, models) == ("evaluation", ["candidate", "baseline"])
    overall, each_class = config.metrics_specs[0].metrics[0].per_slice_thresholds
    assert overall.threshold.value_threshold.lower_bound.value == 0.9
    assert overall.threshold.change_threshold.absolute.value == 0.01
    assert each_class.threshold.value_threshold.lower_bound.value == 0.7
    assert list(config.metrics_specs[1].binarize.class_ids.values) == [0, 1]
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("current_model_id") == 7
    assert blessing.get_int_custom_property("baseline_model_id") == 4
    assert [path.name for path in (tmp_path / "blessing").iterdir()] == ["BLESSED"]


def test_each_further_set_has_a_threshold_and_no_baseline(evaluate: Callable[..., Any]) -> None:
    sets = {"sets": '["shop", "fair"]', "min_accuracy_on": '{"shop": 0.6, "fair": null}'}
    for baseline in (True, False):
        evaluated, _ = evaluate(baseline=baseline, **sets)
        assert {name: models for name, (models, _) in evaluated.items()} == {
            "evaluation": ["candidate", "baseline"] if baseline else [""],
            "evaluation/also_test/shop": [""],
            "evaluation/also_test/fair": [""],
        }
        assert accuracy_bounds(evaluated["evaluation/also_test/shop"][1]) == [0.6]
        assert accuracy_bounds(evaluated["evaluation/also_test/fair"][1]) == []
        assert accuracy_bounds(evaluated["evaluation"][1]) == [0.9, 0.7]


@pytest.mark.parametrize(
    ("unmet", "on", "blessed"),
    [
        ((), {"shop": 0.6, "fair": 0.6}, 1),
        (("shop",), {"shop": 0.6, "fair": 0.6}, 0),
        (("fair",), {"shop": 0.6, "fair": 0.6}, 0),
        (("fair",), {"shop": 0.6, "fair": None}, 1),  # it decides nothing
        (("fair",), {"shop": 0.6}, 1),
        (("evaluation",), {"shop": 0.6}, 0),
    ],
)
def test_one_blessing_is_for_all_sets(
    evaluate: Callable[..., Any],
    tmp_path: Path,
    unmet: tuple[str, ...],
    on: dict[str, float],
    blessed: int,
) -> None:
    more = {"sets": '["shop", "fair"]', "min_accuracy_on": json.dumps(on)}
    _, blessing = evaluate(unmet=unmet, **more)
    assert blessing.get_int_custom_property("blessed") == blessed
    name = "BLESSED" if blessed else "NOT_BLESSED"
    assert [path.name for path in (tmp_path / "blessing").iterdir()] == [name]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"min_accuracy": 1.5}, r"min_accuracy must be in \[0, 1\]. Received: 1.5"),
        ({"min_accuracy_on": '{"a": 9}'}, r"min_accuracy_on.a must be in \[0, 1\]. Received: 9"),
        ({"min_accuracy_on": '{"c": 0.5}'}, "no further test set 'c'; there are: a, b"),
        ({"min_accuracy_on": "0.5"}, "must be JSON of accuracies by further test set, as in"),
        ({"min_accuracy_on": '{"a": "much"}'}, "must be JSON of accuracies by further test set"),
    ],
)
def test_a_bad_threshold_is_told(
    evaluate: Callable[..., Any], more: dict[str, Any], message: str
) -> None:
    """On a cluster they are parameters of each run."""
    with pytest.raises(UserError, match=message):
        evaluate(sets='["a", "b"]', **more)


def test_an_image_that_does_not_decode_is_named(
    evaluate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Examples that older code wrote may hold such images; Beam tells of one as text."""

    @contextmanager
    def fail(self: Executor) -> Iterator[None]:
        yield None
        raise RuntimeError("tensorflow...InvalidArgumentError: jpeg::Uncompress failed [while ...]")

    evaluate()
    monkeypatch.setattr(Executor, "_make_beam_pipeline", fail)
    path = tmp_path / "further" / "Split-a" / "a.gz"
    write_examples(path, [example(b"\xff\xd8\xff and no more")])
    monkeypatch.setattr(executor, "_evaluate", lambda *arguments: None)
    inputs = {
        "examples": [made(Examples, tmp_path / "examples", split_names='["test"]')],
        "also_test": [made(Examples, tmp_path / "further", split_names='["a"]')],
        "model": [made(Model, tmp_path / "model")],
        "leaks": [no_leaks(tmp_path)],
    }
    outputs = {
        "evaluation": [made(ModelEvaluation, tmp_path / "evaluation")],
        "blessing": [made(ModelBlessing, tmp_path / "blessing")],
    }
    properties = {**THRESHOLDS, "class_names": '["0", "1"]'}
    with pytest.raises(UserError, match=r"the image one \(record 0 of .*Split-a/a.gz\)"):
        Executor().Do(inputs, outputs, properties)


def test_a_threshold_may_be_a_parameter_of_the_run() -> None:
    parameter = RuntimeParameter("min_accuracy", ptype=float, default=0.9)
    evaluator = Evaluator(
        Channel(type=Examples),
        Channel(type=ExampleAnomalies),
        Channel(type=Model),
        Channel(type=Model),
        class_names=["0", "1"],
        thresholds={**THRESHOLDS, "min_accuracy": parameter},
    )
    assert evaluator.exec_properties["min_accuracy"] is parameter
    assert evaluator.exec_properties["class_names"] == '["0", "1"]'


def test_each_test_image_is_told_what_copy_of_it_is_trained_on() -> None:
    ids = pa.array([[b"a"], [b"b"], [b"c"]], pa.list_(pa.binary()))
    batch = pa.RecordBatch.from_arrays([ids], ["source_id"])
    told = executor._with_twins(batch, {"a": "exact", "b": "near"})
    assert told.column(told.schema.names.index("twin")).to_pylist() == [
        *([b"exact"], [b"near"], [b"none"])
    ]
    assert told.num_columns == 2
