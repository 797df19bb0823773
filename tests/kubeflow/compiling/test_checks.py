"""What open-source KFP cannot run is refused by the node's name, with the reason."""

import re
from collections.abc import Iterable, Sequence

import pytest
from tfx.components import CsvExampleGen, InfraValidator, StatisticsGen, Trainer
from tfx.components.example_gen.component import QueryBasedExampleGen
from tfx.dsl.component.experimental.container_component import create_container_component
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import example_gen_pb2, infra_validator_pb2, trainer_pb2
from tfx.types import Channel
from tfx.types.standard_artifacts import Examples, Integer, Model, ModelBlessing, String

from components.newest_pushed import NewestPushed
from kubeflow.compiling.checks import CompileError, check_name, check_pipeline

ROOT = "minio://mlpipeline/v2"
LETTERS = "a node's id must be letters, digits and dashes, the first no dash (Argo's rule)"


def pipeline(components: Sequence[BaseNode], name: str = "signs", root: str = ROOT) -> Pipeline:
    return Pipeline(pipeline_name=name, pipeline_root=root, components=list(components))


def wrong(components: Iterable[BaseNode], root: str = ROOT) -> list[str]:
    """The lines of the error."""
    with pytest.raises(CompileError) as caught:
        check_pipeline(pipeline(list(components), root=root))
    first, *lines = str(caught.value).splitlines()
    assert first == "Kubeflow Pipelines cannot run this pipeline:"
    return [line.removeprefix("  ") for line in lines]


def examples() -> CsvExampleGen:
    return CsvExampleGen(input_base="/workspace/data/signs")


def test_pipeline_that_runs_passes() -> None:
    gen = examples()
    check_pipeline(pipeline([gen, StatisticsGen(examples=gen.outputs["examples"])]))


def test_resolver() -> None:
    resolver = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
    ).with_id("Latest")
    assert wrong([resolver]) == [
        "Latest: is a Resolver, and KFP has no executor for it; use components.newest_pushed, "
        "which finds the newest pushed model in the serving volume"
    ]


def test_infra_validator() -> None:
    model = NewestPushed("/workspace/serving/signs")
    validator = InfraValidator(
        model=model.outputs["model"],
        serving_spec=infra_validator_pb2.ServingSpec(
            tensorflow_serving=infra_validator_pb2.TensorFlowServing(tags=["latest"])
        ),
    )
    assert wrong([model, validator]) == [
        "InfraValidator: is an InfraValidator, which TFX does not compile for KFP; use "
        "components.serving_check, which starts the model server in the step's own container"
    ]


def test_dynamic_property() -> None:
    number = Importer(source_uri="gs://bucket/number", artifact_type=String).with_id("Number")
    model = NewestPushed(number.outputs["result"].future()[0].value)
    assert wrong([number, model]) == [
        "NewestPushed: serving_root is only known at run time (dynamic), which KFP does not "
        "resolve for TFX"
    ]


def test_module_file() -> None:
    gen = examples()
    trainer = Trainer(
        module_file="/home/me/trainer.py",
        examples=gen.outputs["examples"],
        train_args=trainer_pb2.TrainArgs(num_steps=1),
        eval_args=trainer_pb2.EvalArgs(num_steps=1),
    )
    assert wrong([gen, trainer]) == [
        "Trainer: module_file='/home/me/trainer.py' is a file that the step cannot reach: name the "
        "function by its dotted path in the image, as in run_fn='modules.trainer.run_fn'"
    ]


@pytest.mark.parametrize("uri", ["/data/model", "file:///data/model", "hdfs://name/model", "gs://"])
def test_importer_without_a_bucket(uri: str) -> None:
    importer = Importer(source_uri=uri, artifact_type=Model).with_id("Old")
    assert wrong([importer]) == [
        "Old: imports what other steps cannot reach: put it into a bucket, minio://, s3:// or "
        f"gs://. Received: {uri!r}"
    ]


def test_importer_from_a_bucket_passes() -> None:
    for uri in ("gs://bucket/model", RuntimeParameter("model", str, "s3://bucket/model")):
        check_pipeline(pipeline([Importer(source_uri=uri, artifact_type=Model).with_id("Old")]))


def test_condition_on_an_importer() -> None:
    gen = examples()
    with Cond(gen.outputs["examples"].future()[0].property("span") > 3):
        importer = Importer(source_uri="gs://bucket/model", artifact_type=Model).with_id("Old")
        statistics = StatisticsGen(examples=gen.outputs["examples"])
    assert wrong([gen, importer, statistics]) == [
        "Old: an importer under a condition always runs on KFP: move it out of the condition"
    ]


def test_driver_of_its_own() -> None:
    gen = QueryBasedExampleGen(
        input_config=example_gen_pb2.Input(
            splits=[example_gen_pb2.Input.Split(name="all", pattern="SELECT 1")]
        ),
        custom_executor_spec=examples().executor_spec,
    )
    assert wrong([gen]) == [
        "QueryBasedExampleGen: has a driver of its own, QueryBasedDriver, which KFP never calls"
    ]


def test_container_of_its_own() -> None:
    make = create_container_component(
        name="Shell", image="alpine", command=["true"], outputs={"number": Integer}
    )
    assert wrong([make()]) == [
        "Shell: runs a TemplatedExecutorContainerSpec: only Python executors run under "
        "kubeflow.step.entrypoint, in the pipeline's own image"
    ]


def test_pipeline_in_a_pipeline() -> None:
    inner = pipeline([examples()], name="inner")
    assert wrong([inner]) == ["inner: is a Pipeline, and KFP runs only components and importers"]


@pytest.mark.parametrize(
    ("node_id", "reason"),
    [
        ("Csv_Gen", LETTERS),
        ("-Csv", LETTERS),
        ("Csv.Gen", LETTERS),
        ("Ä", LETTERS),
        ("x" * 122, "a node's id has at most 121 characters (Argo's limit): has 122"),
        ("root", "KFP uses root and *-driver itself: choose another id"),
    ],
)
def test_node_ids(node_id: str, reason: str) -> None:
    assert wrong([examples().with_id(node_id)]) == [f"{node_id}: {reason}"]


def test_longest_node_id_passes() -> None:
    check_pipeline(pipeline([examples().with_id("x" * 121)]))


def test_node_named_as_the_driver_of_another() -> None:
    nodes = [examples().with_id("Gen"), examples().with_id("Gen-driver")]
    assert wrong(nodes) == ["Gen: KFP uses root and *-driver itself: choose another id"]


@pytest.mark.parametrize(
    "root", ["file:///tmp/x", "/tmp/x", "artifacts", "hdfs://x/y", "gs://", ""]
)
def test_pipeline_root(root: str) -> None:
    assert wrong([examples()], root=root) == [
        "steps share no file system: the pipeline root must be a bucket, minio://, s3:// or gs://. "
        f"Received: {root!r}"
    ]


@pytest.mark.parametrize(
    "name", ["Signs", "my_signs", "signs-", "-signs", "signs.v1", "", "x" * 64]
)
def test_pipeline_name(name: str) -> None:
    message = (
        "a pipeline's name must be at most 63 lower-case letters, digits and dashes, and end in "
        f"no dash. Received: {name!r}; choose another with --name"
    )
    with pytest.raises(CompileError, match=re.escape(message)):
        check_name(name)


def test_pipeline_name_is_checked_with_the_pipeline() -> None:
    with pytest.raises(CompileError, match="Received: 'Signs'; choose another with --name"):
        check_pipeline(pipeline([examples()], name="Signs"))
    check_name("x" * 63)


def test_parameters_that_clash() -> None:
    nodes = [
        NewestPushed(RuntimeParameter("place", str, "/a")).with_id("A"),
        NewestPushed(RuntimeParameter("place", str, "/b")).with_id("B"),
        NewestPushed(RuntimeParameter("image", str, "x")).with_id("C"),
        NewestPushed(RuntimeParameter("a-b", str, "x")).with_id("D"),
    ]
    assert wrong(nodes) == [
        "the runtime parameter 'place' has two meanings, with the defaults '/a' (A) and '/b'",
        "the runtime parameter 'image' must be named otherwise: letters, digits and underscores, "
        "and not 'image', which is the compiler's",
        "the runtime parameter 'a-b' must be named otherwise: letters, digits and underscores, "
        "and not 'image', which is the compiler's",
    ]


def test_parameter_inside_a_value() -> None:
    gen = examples()
    trainer = Trainer(
        run_fn="modules.trainer.run_fn",
        examples=gen.outputs["examples"],
        train_args=trainer_pb2.TrainArgs(num_steps=1),
        eval_args=trainer_pb2.EvalArgs(num_steps=1),
        custom_config={"rate": RuntimeParameter("rate", float, 0.1)},
    )
    assert wrong([gen, trainer]) == [
        "Trainer: custom_config holds a RuntimeParameter inside a value, where KFP does not "
        "replace it"
    ]


def test_parameters_too_long_for_a_command_line() -> None:
    check_pipeline(pipeline([NewestPushed("x" * 99_998)]))
    assert wrong([NewestPushed("x" * 99_999)]) == [
        "NewestPushed: its parameters have 100,001 characters, and Linux starts no program with "
        "more than 100,000 in one argument: use fewer or shorter names of classes"
    ]


@pytest.mark.parametrize(
    ("value", "mark"), [("a$$b", "$$"), ("$(HOME)/x", "$("), ("{{workflow.name}}", "{{")]
)
def test_what_the_cluster_would_replace(value: str, mark: str) -> None:
    line = f"A: serving_root holds {mark!r}, which the cluster replaces: rename what has it"
    assert wrong([NewestPushed(value).with_id("A")]) == [line]
    assert wrong([NewestPushed(RuntimeParameter("place", str, value)).with_id("A")]) == [line]


def test_everything_wrong_is_told_at_once() -> None:
    model = Importer(source_uri="/model", artifact_type=Examples).with_id("Old_Model")
    lines = wrong([model, examples().with_id("root")], root="/tmp")
    assert [line.split(":")[0] for line in lines] == [
        "steps share no file system",
        "Old_Model",
        "Old_Model",
        "root",
    ]
