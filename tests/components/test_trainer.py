"""What a training tells of itself stands on the Model artifact; `run_fn` here is the test's own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tfx.proto import trainer_pb2
from tfx.types import standard_component_specs
from tfx.types.standard_artifacts import Examples, Model, ModelRun
from tfx.utils import proto_utils

from components.trainer import Trainer
from components.trainer.executor import MAX_STEPS, Executor, record
from modules.trainer import PROPERTIES
from modules.training.job import TrainingJob
from modules.training.recipe import Recipe

JOB = TrainingJob(Recipe(epochs=2), ("a", "b"), 32)


def run_fn(fn_args: Any) -> None:
    """Stands in for the training: what it is told to, it writes."""
    job = TrainingJob.from_custom_config(fn_args.custom_config)
    assert job == replace(JOB, max_steps=7, code=job.code)
    assert fn_args.custom_config["beside"] == "it"  # what a cluster's `run_fn` is told
    Path(fn_args.serving_model_dir).mkdir(parents=True)
    if told := json.loads(job.code):
        run_dir = Path(fn_args.model_run_dir)
        run_dir.mkdir(parents=True)
        (run_dir / PROPERTIES).write_text(json.dumps(told))


def trained(root: Path, told: dict[str, Any] | None) -> Model:
    examples, model, run = Examples(), Model(), ModelRun()
    examples.uri, model.uri, run.uri = (str(root / name) for name in ("examples", "model", "run"))
    examples.split_names = '["train", "eval"]'
    for split in ("train", "eval"):
        (root / "examples" / f"Split-{split}").mkdir(parents=True)
    Executor().Do(
        {standard_component_specs.EXAMPLES_KEY: [examples]},
        {
            standard_component_specs.MODEL_KEY: [model],
            standard_component_specs.MODEL_RUN_KEY: [run],
        },
        {
            standard_component_specs.TRAIN_ARGS_KEY: proto_utils.proto_to_json(
                trainer_pb2.TrainArgs()
            ),
            standard_component_specs.EVAL_ARGS_KEY: proto_utils.proto_to_json(
                trainer_pb2.EvalArgs()
            ),
            standard_component_specs.RUN_FN_KEY: f"{__name__}.run_fn",
            standard_component_specs.CUSTOM_CONFIG_KEY: json.dumps(
                {"beside": "it", **replace(JOB, code=json.dumps(told)).to_custom_config()}
            ),
            MAX_STEPS: 7,
        },
    )
    return model


def test_properties_are_recorded_on_the_model(tmp_path: Path) -> None:
    model = trained(tmp_path, {"device": "2 x NVIDIA H100", "replicas": 2, "share": 0.5})
    assert model.get_string_custom_property("device") == "2 x NVIDIA H100"
    assert model.get_int_custom_property("replicas") == 2
    assert model.get_float_custom_property("share") == 0.5


def test_a_training_that_tells_nothing_is_fine(tmp_path: Path) -> None:
    assert not trained(tmp_path, None).mlmd_artifact.custom_properties


@pytest.mark.parametrize("value", [True, None, [1], {"a": 1}])
def test_a_property_of_another_type_is_named(value: object) -> None:
    with pytest.raises(TypeError) as caught:
        record(Model(), {"xla": value})
    assert str(caught.value) == (
        f"the property 'xla' must be a string or a number. Received: {value!r}"
    )


def test_the_component_is_the_stock_one_with_this_executor() -> None:
    assert Trainer.EXECUTOR_SPEC.class_path == "components.trainer.executor.Executor"
