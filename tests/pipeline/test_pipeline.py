"""The DAG, built and not run: which components it has, and what the trainings are told."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tfx.dsl.components.common.resolver import RESOLVER_CONFIG
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline

from modules.training.job import Search, TrainingJob
from pipeline import pipeline as module
from pipeline.code import code_digest
from pipeline.config import Data, FurtherSet, default_config, override
from pipeline.environment import Environment, Workspace
from pipeline.pipeline import create_pipeline
from tests import ROOT
from trust.provenance import Origin

DATA = Data("colours", 2, ("grün", "red"), {"train": 8, "eval": 4, "test": 2})
STEPS = [
    *(
        "SpanGen",
        "LeakageGuard",
        "CuratedSchema",
        "StatisticsGen",
        "EarlierSpan",
        "PictureStatistics",
        "ExampleValidator",
        "Transform",
    ),
    *("Trainer", "Baseline", "Evaluator", "ServingCheck", "RunReport", "Pusher"),
]


def built(environment: Environment, *settings: str) -> Pipeline:
    return create_pipeline(override(default_config(DATA), settings), environment)


def parameters(pipeline: Pipeline, component: str) -> dict[str, Any]:
    [found] = [each for each in pipeline.components if each.id == component]
    return found.exec_properties


def job(pipeline: Pipeline, component: str) -> TrainingJob:
    text = parameters(pipeline, component)["custom_config"]
    return TrainingJob.from_custom_config(json.loads(text))


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Workspace(tmp_path).environment("colours")


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ((), set()),
        (("suspects=true",), {"SuspectLabels"}),
        (("schema=infer",), {"SchemaGen"}),
        (("tune.trials=2", "warm_start=true"), {"Tuner", "WarmStart"}),
    ],
)
def test_the_components(environment: Environment, settings: tuple[str, ...], more: set) -> None:
    ids = [each.id for each in built(environment, *settings).components]
    assert sorted(ids) == sorted([*STEPS, *more])


def test_pusher_and_serving_check_are_told_where_the_keys_are(tmp_path: Path) -> None:
    for signed, keys in ((True, f"{tmp_path}/keys"), (False, None)):
        pipeline = built(Workspace(tmp_path).environment("colours", signed=signed))
        assert parameters(pipeline, "ServingCheck").get("keys") == keys
        custom = json.loads(parameters(pipeline, "Pusher")["custom_config"])
        assert custom.get("keys") == keys


def test_pusher_is_told_what_the_model_is_made_from(tmp_path: Path) -> None:
    pipeline = built(Workspace(tmp_path).environment("colours"), "train.epochs=7")
    custom = json.loads(parameters(pipeline, "Pusher")["custom_config"])
    origin = Origin.from_json(custom["origin"])
    assert origin.settings["train"]["epochs"] == 7
    assert origin.manifest == f"{tmp_path}/data/{origin.span}/manifest.json"
    code, lock = origin.materials
    assert code.sha256 == code_digest()
    assert lock.sha256 == hashlib.sha256((ROOT / lock.name).read_bytes()).hexdigest()


def test_trainer_and_tuner_are_told_the_same_job(environment: Environment) -> None:
    pipeline = built(environment, "tune.trials=2", "tune.epochs=3", "train.epochs=7")
    trainer = job(pipeline, "Trainer")
    assert (trainer.recipe.epochs, trainer.class_names, trainer.image_size) == (
        7,
        ("grün", "red"),
        64,
    )
    assert (trainer.checkpoints, trainer.search) == (environment.checkpoint_root, None)
    assert len(trainer.code) == 64
    assert job(pipeline, "Tuner") == replace(trainer, search=Search(2, 3, DATA.counts))


def test_only_the_baseline_must_have_the_same_classes(environment: Environment) -> None:
    pipeline = built(environment, "warm_start=true")
    assert parameters(pipeline, "Baseline")[RESOLVER_CONFIG] == {"class_names": ["grün", "red"]}
    assert parameters(pipeline, "WarmStart")[RESOLVER_CONFIG] == {}
    cluster = replace(environment, metadata_path=None)
    pipeline = built(cluster, "warm_start=true")
    assert json.loads(parameters(pipeline, "Baseline")["class_names"]) == ["grün", "red"]
    assert "class_names" not in parameters(pipeline, "WarmStart")


def test_further_sets_are_one_more_example_gen_for_the_evaluator(environment: Environment) -> None:
    further = (FurtherSet("shop", 1, 2, 40), FurtherSet("fair", 3, 1, 7))
    config = override(default_config(DATA, further), ["evaluate.min_accuracy_on.fair=0.9"])
    pipeline = create_pipeline(config, environment)
    assert sorted(each.id for each in pipeline.components) == sorted([*STEPS, "AlsoTest"])
    given = parameters(pipeline, "AlsoTest")
    assert given["input_base"] == environment.also_test_root
    splits = json.loads(given["input_config"])["splits"]
    assert [(one["name"], one["pattern"]) for one in splits] == [
        ("shop", "shop/span-1/v-2/test/*"),
        ("fair", "fair/span-3/v-1/test/*"),
    ]
    on = parameters(pipeline, "Evaluator")["min_accuracy_on"]
    assert json.loads(on) == {"shop": 0.5, "fair": 0.9}
    # Who has none evaluates as ever: what an older release has made is reused.
    assert "min_accuracy_on" not in parameters(built(environment), "Evaluator")


def test_changed_code_is_trained_and_transformed_anew(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = built(environment)
    monkeypatch.setattr(module, "code_digest", lambda: "another")
    after = built(environment)
    for component in ("Trainer", "Transform"):
        one, other = (parameters(each, component)["custom_config"] for each in (before, after))
        assert one != other
    assert job(after, "Trainer") == replace(job(before, "Trainer"), code="another")


def test_a_run_on_a_cluster_may_give_the_steps_anew(environment: Environment) -> None:
    assert parameters(built(environment), "Trainer")["max_steps"] == 0
    cluster = replace(environment, runtime_parameters=True, metadata_path=None)
    steps = parameters(built(cluster), "Trainer")["max_steps"]
    assert isinstance(steps, RuntimeParameter)
    assert (steps.name, steps.default) == ("train_steps", 0)
