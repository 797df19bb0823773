"""Thresholds reach TFMA's configuration; what TFMA does with it, whole runs show."""

from pathlib import Path
from typing import Any

import pytest
import tensorflow_model_analysis as tfma
from tfx.components.evaluator import executor as stock
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import Channel
from tfx.types.standard_artifacts import Examples, Model
from tfx.utils import proto_utils

from components.evaluator import Evaluator
from components.evaluator.executor import Executor
from signs.errors import UserError
from tests.modules.examples import example, write_examples

THRESHOLDS = {"min_accuracy": 0.9, "min_class_accuracy": 0.7, "min_accuracy_change": 0.01}


def configured(monkeypatch: pytest.MonkeyPatch, thresholds: dict[str, Any]) -> tfma.EvalConfig:
    """What the stock executor is given."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(stock.Executor, "Do", lambda self, ins, outs, props: given.update(props))
    properties = {**thresholds, "class_names": '["0", "1"]', "example_splits": '["test"]'}
    Executor().Do({}, {}, properties)
    assert given["example_splits"] == '["test"]'
    return proto_utils.json_to_proto(given["eval_config"], tfma.EvalConfig())


def test_thresholds_are_tfmas(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(monkeypatch, THRESHOLDS)
    overall, each_class = config.metrics_specs[0].metrics[0].per_slice_thresholds
    assert overall.threshold.value_threshold.lower_bound.value == 0.9
    assert overall.threshold.change_threshold.absolute.value == 0.01
    assert each_class.threshold.value_threshold.lower_bound.value == 0.7
    assert list(config.metrics_specs[1].binarize.class_ids.values) == [0, 1]


def test_threshold_out_of_range_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"min_accuracy must be in \[0, 1\]. Received: 1.5"):
        configured(monkeypatch, {**THRESHOLDS, "min_accuracy": 1.5})


def test_an_image_that_does_not_decode_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Examples that older code wrote may hold such images; Beam tells of one as text."""

    def fail(*arguments: object) -> None:
        raise RuntimeError("tensorflow...InvalidArgumentError: jpeg::Uncompress failed [while ...]")

    monkeypatch.setattr(stock.Executor, "Do", fail)
    examples = Examples()
    examples.uri = str(tmp_path)
    write_examples(tmp_path / "Split-test" / "a.gz", [example(b"\xff\xd8\xff and no more")])
    properties = {**THRESHOLDS, "class_names": '["0", "1"]', "example_splits": '["test"]'}
    with pytest.raises(UserError, match=r"the image one \(record 0 of .*Split-test/a.gz\)"):
        Executor().Do({"examples": [examples]}, {}, properties)


def test_a_threshold_may_be_a_parameter_of_the_run() -> None:
    parameter = RuntimeParameter("min_accuracy", ptype=float, default=0.9)
    evaluator = Evaluator(
        Channel(type=Examples),
        Channel(type=Model),
        Channel(type=Model),
        class_names=["0", "1"],
        thresholds={**THRESHOLDS, "min_accuracy": parameter},
    )
    assert evaluator.exec_properties["min_accuracy"] is parameter
    assert evaluator.exec_properties["class_names"] == '["0", "1"]'
