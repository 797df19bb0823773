"""What is in the file, word for word where it matters, and that kfp's own parser takes it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler as kfp_compiler
from kfp import components, dsl
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.components import CsvExampleGen, StatisticsGen
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline
from tfx.types.standard_artifacts import Model
from tfx.utils.import_utils import import_class_by_path

from kubeflow.compiling.checks import CompileError
from kubeflow.compiling.compiler import compile_pipeline, compile_tfx
from kubeflow.compiling.options import ClusterOptions, StepOptions, TrainingOptions
from kubeflow.compiling.platform import read_platform
from kubeflow.together import start
from kubeflow.together.joint_training import JointTraining
from modules.training.job import TrainingJob
from pipeline.config import Data, FurtherSet, PipelineConfig, default_config, override

IMAGE = f"ghcr.io/me/signs@sha256:{'a' * 64}"
DATA = Data("signs", None, ("zero", "one", "two"), {"train": 8, "eval": 4, "test": 4})
OPTIONS = ClusterOptions(
    image=IMAGE,
    steps=StepOptions(cpu_limit="3"),
    training=TrainingOptions(gpu=1, node_selector={"pool": "gpu"}),
)
STEPS = {
    "SpanGen", "LeakageGuard", "CuratedSchema", "StatisticsGen", "ExampleValidator",
    "PictureStatistics", "Transform", "Trainer", "Baseline", "Evaluator", "ServingCheck",
    "RunReport", "Pusher",
}  # fmt: skip


def everything() -> PipelineConfig:
    return override(default_config(DATA), ["warm_start=true", "tune.trials=2", "schema=infer"])


@pytest.fixture(scope="module")
def text() -> str:
    return compile_pipeline(everything(), OPTIONS)


@pytest.fixture(scope="module")
def spec(text: str) -> dict[str, Any]:
    return next(yaml.safe_load_all(text))


def tasks(spec: dict[str, Any]) -> dict[str, Any]:
    return spec["root"]["dag"]["tasks"]


def test_two_documents_that_the_protos_take(text: str) -> None:
    pipeline, platform = yaml.safe_load_all(text)
    json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(pipeline["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())
    read_platform(platform)
    assert pipeline["schemaVersion"] == "2.1.0"
    assert pipeline["pipelineInfo"] == {"name": "signs"}
    assert pipeline["defaultPipelineRoot"] == "minio://mlpipeline/v2/artifacts"
    assert set(tasks(pipeline)) == STEPS | {"SchemaGen", "Tuner", "WarmStart"}


def test_plain_run_has_no_optional_steps() -> None:
    pipeline = next(yaml.safe_load_all(compile_pipeline(default_config(DATA), OPTIONS)))
    assert set(tasks(pipeline)) == STEPS


def test_parameters_keep_their_defaults(spec: dict[str, Any]) -> None:
    assert spec["root"]["inputDefinitions"]["parameters"] == {
        "data_root": {
            "parameterType": "STRING",
            "defaultValue": "/workspace/data/signs",
            "isOptional": True,
        },
        "image": {"parameterType": "STRING", "defaultValue": IMAGE, "isOptional": True},
        "max_calibration_error": {
            "parameterType": "NUMBER_DOUBLE",
            "defaultValue": 0.15,
            "isOptional": True,
        },
        "min_accuracy": {
            "parameterType": "NUMBER_DOUBLE",
            "defaultValue": 0.7,
            "isOptional": True,
        },
        "min_accuracy_change": {
            "parameterType": "NUMBER_DOUBLE",
            "defaultValue": -1.0,
            "isOptional": True,
        },
        "min_class_accuracy": {
            "parameterType": "NUMBER_DOUBLE",
            "defaultValue": 0.4,
            "isOptional": True,
        },
        "min_corrupted_accuracy": {
            "parameterType": "NUMBER_DOUBLE",
            "defaultValue": 0.5,
            "isOptional": True,
        },
        "must_beat": {"parameterType": "STRING", "defaultValue": "both", "isOptional": True},
        "significance": {
            "parameterType": "NUMBER_DOUBLE",
            "defaultValue": 0.05,
            "isOptional": True,
        },
        "spans": {"parameterType": "STRING", "defaultValue": "all", "isOptional": True},
        "train_steps": {
            "parameterType": "NUMBER_INTEGER",
            "defaultValue": 0.0,
            "isOptional": True,
        },
    }


def test_defaults_follow_the_settings() -> None:
    config = override(default_config(DATA), ["evaluate.min_accuracy=0.93"])
    options = replace(OPTIONS, mount="/data", pipeline_root="s3://bucket/runs")
    pipeline = next(yaml.safe_load_all(compile_pipeline(config, options)))
    parameters = pipeline["root"]["inputDefinitions"]["parameters"]
    assert parameters["min_accuracy"]["defaultValue"] == 0.93
    assert parameters["data_root"]["defaultValue"] == "/data/data/signs"
    assert pipeline["defaultPipelineRoot"] == "s3://bucket/runs"
    push = tasks(pipeline)["Pusher"]["inputs"]["parameters"]["push_destination"]
    assert '"base_directory": "/data/serving/signs"' in push["runtimeValue"]["constant"]
    custom = tasks(pipeline)["Trainer"]["inputs"]["parameters"]["custom_config"]
    job = TrainingJob.from_custom_config(json.loads(custom["runtimeValue"]["constant"]))
    assert job.checkpoints == "/data/checkpoints/signs"


def test_parameters_reach_their_steps(spec: dict[str, Any]) -> None:
    reached = {
        (task, name): value["componentInputParameter"]
        for task, body in tasks(spec).items()
        for name, value in body["inputs"]["parameters"].items()
        if "componentInputParameter" in value and name != "image"
    }
    assert reached == {
        ("SpanGen", "input_base"): "data_root",
        ("SpanGen", "spans"): "spans",
        ("Trainer", "max_steps"): "train_steps",
        ("Evaluator", "min_accuracy"): "min_accuracy",
        ("Evaluator", "min_class_accuracy"): "min_class_accuracy",
        ("Evaluator", "min_accuracy_change"): "min_accuracy_change",
        ("Evaluator", "min_corrupted_accuracy"): "min_corrupted_accuracy",
        ("Evaluator", "max_calibration_error"): "max_calibration_error",
        ("Evaluator", "must_beat"): "must_beat",
        ("Evaluator", "significance"): "significance",
    }


def test_every_step_takes_the_image_and_runs_our_entrypoint(spec: dict[str, Any]) -> None:
    for name, task in tasks(spec).items():
        component = spec["components"][name]
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        assert container["image"] == "{{$.inputs.parameters['image']}}"
        assert container["command"] == ["python", "-m", "kubeflow.step.entrypoint"]
        assert container["args"][2:4] == ["--json_serialized_invocation_args", "{{$}}"]
        assert container["args"][6:] == [
            "--runner=FnApiRunner",
            "--sdk_container_image",
            "{{$.inputs.parameters['image']}}",
        ]
        assert "lifecycle" not in container
        assert task["inputs"]["parameters"]["image"] == {"componentInputParameter": "image"}
        assert component["inputDefinitions"]["parameters"]["image"] == {"parameterType": "STRING"}


def test_resources(spec: dict[str, Any]) -> None:
    plain = {
        "resourceCpuRequest": "500m",
        "resourceCpuLimit": "3",
        "resourceMemoryRequest": "2Gi",
        "resourceMemoryLimit": "6Gi",
    }
    training = {
        "resourceCpuRequest": "2",
        "resourceCpuLimit": "8",
        "resourceMemoryRequest": "6Gi",
        "resourceMemoryLimit": "16Gi",
        "accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "1"},
    }
    for name in tasks(spec):
        container = spec["deploymentSpec"]["executors"][f"{name}_executor"]["container"]
        expected = training if name in ("Trainer", "Tuner") else plain
        assert container["resources"] == expected, name


def test_only_what_trains_goes_to_the_gpu_nodes(text: str) -> None:
    _, platform = yaml.safe_load_all(text)
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == {
        f"{name}_executor" for name in STEPS | {"SchemaGen", "Tuner", "WarmStart"}
    }
    selected = {label for label, config in executors.items() if "nodeSelector" in config}
    assert selected == {"Trainer_executor", "Tuner_executor"}
    for config in executors.values():
        assert config["pvcMount"][0]["mountPath"] == "/workspace"


def test_several_workers_train_in_the_place_of_the_step() -> None:
    options = replace(OPTIONS, training=replace(OPTIONS.training, workers=3, job="TFJob"))
    pipeline, platform = yaml.safe_load_all(compile_pipeline(everything(), options))
    given = {name: tasks(pipeline)[name]["inputs"]["parameters"] for name in ("Trainer", "Tuner")}
    told = json.loads(given["Trainer"]["custom_config"]["runtimeValue"]["constant"])
    job = JointTraining.from_custom_config(told)
    assert (job.kind, job.workers, job.mount) == ("TFJob", 3, "/workspace")
    assert job.pod["nodeSelector"] == {"pool": "gpu"}
    assert TrainingJob.from_custom_config(told).checkpoints == "/workspace/checkpoints/signs"
    run_fn = given["Trainer"]["run_fn"]["runtimeValue"]["constant"]
    assert import_class_by_path(run_fn) is start.run_fn
    assert "joint_training" not in given["Tuner"]["custom_config"]["runtimeValue"]["constant"]
    # What trains in a step's own pod needs the GPU, and what waits for a job does not.
    executors = pipeline["deploymentSpec"]["executors"]
    resources = {name: executors[f"{name}_executor"]["container"]["resources"] for name in given}
    assert resources["Trainer"]["resourceCpuLimit"] == "3"
    assert ["accelerator" in resources[name] for name in ("Trainer", "Tuner")] == [False, True]
    configs = read_platform(platform)
    assert not configs["Trainer_executor"].node_selector.labels


def test_every_step_is_retried(spec: dict[str, Any]) -> None:
    for name, task in tasks(spec).items():
        assert task["retryPolicy"] == {
            "maxRetryCount": 3,
            "backoffDuration": "30s",
            "backoffFactor": 2.0,
            # Seven days. KFP's default of an hour would leave a long training without any retry.
            "backoffMaxDuration": "604800s",
        }, name


def test_what_reads_or_writes_the_volume_is_never_cached(spec: dict[str, Any]) -> None:
    cached = {
        name for name, task in tasks(spec).items() if task["cachingOptions"].get("enableCache")
    }
    assert set(tasks(spec)) - cached == {"SpanGen", "Baseline", "WarmStart", "Pusher"}


def test_named_span_is_cached_and_the_newest_is_not() -> None:
    def is_cached(span: int | None, version: int | None) -> bool:
        config = default_config(replace(DATA, span=span, version=version))
        pipeline = next(yaml.safe_load_all(compile_pipeline(config, OPTIONS)))
        return "enableCache" in tasks(pipeline)["SpanGen"]["cachingOptions"]

    assert is_cached(3, 1)
    assert not is_cached(3, None)
    assert not is_cached(None, None)


def test_further_test_sets_are_read_from_the_claim() -> None:
    further = (FurtherSet("shop", 1, 2, 40), FurtherSet("fair", 3, 1, 7))
    config = override(default_config(DATA, further), ["evaluate.min_accuracy_on.shop=0.9"])
    pipeline = next(yaml.safe_load_all(compile_pipeline(config, OPTIONS)))
    assert set(tasks(pipeline)) == STEPS | {"AlsoTest"}
    task = tasks(pipeline)["AlsoTest"]
    given = task["inputs"]["parameters"]
    assert given["input_base"]["runtimeValue"]["constant"] == "/workspace/also_test"
    assert "fair/span-3/v-1/test/*" in given["input_config"]["runtimeValue"]["constant"]
    assert task["cachingOptions"] == {"enableCache": True}  # the spans are named
    evaluator = tasks(pipeline)["Evaluator"]["inputs"]
    assert evaluator["artifacts"]["also_test"]["taskOutputArtifact"]["producerTask"] == "AlsoTest"
    name = evaluator["parameters"]["min_accuracy_on"]["componentInputParameter"]
    parameter = pipeline["root"]["inputDefinitions"]["parameters"][name]
    assert json.loads(parameter["defaultValue"]) == {"shop": 0.9, "fair": 0.5}


def test_kfp_loads_it_as_a_component(text: str, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    loaded = components.load_component_from_file(str(path))
    assert isinstance(loaded, dsl.yaml_component.YamlComponent)
    assert loaded.name == "signs"
    inputs = loaded.component_spec.inputs
    assert {name: (one.type, one.default) for name, one in inputs.items()} == {
        "data_root": ("String", "/workspace/data/signs"),
        "image": ("String", IMAGE),
        "max_calibration_error": ("Float", 0.15),
        "min_accuracy": ("Float", 0.7),
        "min_accuracy_change": ("Float", -1.0),
        "min_class_accuracy": ("Float", 0.4),
        "min_corrupted_accuracy": ("Float", 0.5),
        "must_beat": ("String", "both"),
        "significance": ("Float", 0.05),
        "spans": ("String", "all"),
        "train_steps": ("Integer", 0.0),
    }
    assert set(loaded.platform_spec.platforms) == {"kubernetes"}

    @dsl.pipeline(name="outer")
    def outer(steps: int = 5) -> None:
        loaded(train_steps=steps)

    kfp_compiler.Compiler().compile(outer, str(tmp_path / "outer.yaml"))
    nested, platform = yaml.safe_load_all((tmp_path / "outer.yaml").read_text())
    assert "Trainer" in nested["components"]["comp-signs"]["dag"]["tasks"]
    read_platform(platform)


def test_importers_and_conditions_of_other_pipelines() -> None:
    old = Importer(source_uri="gs://bucket/model", artifact_type=Model).with_id("Old")
    gen = CsvExampleGen(input_base=RuntimeParameter("csv", str))
    with Cond(gen.outputs["examples"].future()[0].property("span") > 3):
        statistics = StatisticsGen(examples=gen.outputs["examples"])
    other = Pipeline("other", "gs://bucket/runs", components=[old, gen, statistics])
    pipeline, platform = yaml.safe_load_all(compile_tfx(other, OPTIONS))
    assert tasks(pipeline)["StatisticsGen"]["triggerPolicy"] == {
        "condition": "(inputs.artifacts['_CsvExampleGen.examples'].artifacts[0]"
        ".metadata['span'] > 3.0)"
    }
    executors = pipeline["deploymentSpec"]["executors"]
    assert executors["Old_executor"]["importer"]["artifactUri"] == {"constant": "gs://bucket/model"}
    assert "image" not in tasks(pipeline)["Old"]["inputs"]["parameters"]
    # What has no default must be given to every run.
    assert pipeline["root"]["inputDefinitions"]["parameters"]["csv"] == {"parameterType": "STRING"}
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(pods) == {"CsvExampleGen_executor", "StatisticsGen_executor"}


def test_names_of_classes() -> None:
    def compiled(name: str) -> str:
        return compile_pipeline(default_config(replace(DATA, class_names=("zero", name))), OPTIONS)

    for name in ("Ä 1", "a'b\"c\\d", "${x}", "100%", "a: b # c", "- {x}", "null"):
        pipeline = next(yaml.safe_load_all(compiled(name)))
        parameters = tasks(pipeline)["Evaluator"]["inputs"]["parameters"]
        assert json.loads(parameters["class_names"]["runtimeValue"]["constant"]) == ["zero", name]
    with pytest.raises(
        CompileError, match=r"Evaluator: class_names holds '\$\$', which the cluster"
    ):
        compiled("ca$$h")


def test_other_names_of_pipelines_are_refused() -> None:
    with pytest.raises(CompileError, match=r"Received: 'signs-'; choose another with --name"):
        compile_pipeline(default_config(replace(DATA, name="signs-")), OPTIONS)
