"""What `signs compile` writes is read strictly, and what is wrong is told with its place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeflow.compiling.pipeline_file import PipelineFileError, read_pipeline
from tests.kubeflow.standin.tiny import step, write
from tests.kubeflow.submitting.submit_fixtures import PIPELINE, write_pipeline


def test_reads_what_was_compiled(tmp_path: Path) -> None:
    pipeline = read_pipeline(write_pipeline(tmp_path))
    assert pipeline.name == "signs-synthetic"
    assert pipeline.root == "minio://mlpipeline/v2/artifacts"
    assert pipeline.steps == ("SpanGen", "Trainer")
    assert pipeline.retried == {"Trainer"}
    assert pipeline.images == ("{{$.inputs.parameters['image']}}",)
    assert list(pipeline.parameters) == ["data_root", "image", "min_accuracy", "train_steps"]
    assert pipeline.parameters["min_accuracy"].default_value.number_value == 0.9
    generator, trainer = pipeline.tasks
    assert generator.container.command == ["python", "-m", "kubeflow.step.entrypoint"]
    assert generator.platform.ListFields() == []
    assert trainer.spec.retry_policy.max_retry_count == 3
    assert trainer.platform.pvc_mount[0].constant == "signs-workspace"


def test_version_names_the_content(tmp_path: Path) -> None:
    first = read_pipeline(write_pipeline(tmp_path)).version
    assert read_pipeline(write_pipeline(tmp_path)).version == first
    assert len(first) == 12
    other = read_pipeline(write_pipeline(tmp_path, PIPELINE.replace("0.9", "0.8"))).version
    assert other != first


CYCLE = PIPELINE.replace("        taskInfo: {name: SpanGen}", "        dependentTasks: [Trainer]")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "is not a compiled pipeline: it must hold one or two documents"),
        ("a: [", "is not YAML: while parsing a flow node"),
        ("\x00", "is not YAML: unacceptable character"),
        ("- a\n- b\n", "is not a compiled pipeline: it must hold one or two documents"),
        ("a: 1\n---\nb: 1\n---\nc: 1\n", "of its platform. Received: 3"),
        ("kind: Deployment\n", 'is not a compiled pipeline: .* no field named "kind"'),
        ("schemaVersion: 2.1.0\n", "has no name, no steps or no images"),
        (PIPELINE.replace("2.1.0", "2.0.0"), "is of schema 2.0.0: KFP's server takes 2.1.0"),
        (PIPELINE.replace("pvcMount", "pvcMounts"), 'kfp-kubernetes reads: .*named "pvcMounts"'),
        (PIPELINE + "---\na: 1\n", "it must hold one or two documents"),
        (PIPELINE.replace("[''image'']", "[''img'']"), "named by a parameter that it lacks: img"),
        (CYCLE, "steps that wait for each other: .*-> Trainer"),
        (PIPELINE.replace("parameterType: NUMBER_DOUBLE", "isOptional: true"), "no known type"),
    ],
)
def test_refuses_what_is_no_pipeline(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(PipelineFileError, match=error):
        read_pipeline(write_pipeline(tmp_path, text))


def test_refuses_json_and_what_cannot_be_read(tmp_path: Path) -> None:
    json_file = write_pipeline(tmp_path).rename(tmp_path / "pipeline.json")
    with pytest.raises(PipelineFileError, match=r"pipeline\.json must end in \.yaml"):
        read_pipeline(json_file)
    with pytest.raises(PipelineFileError, match=r"gone\.yaml cannot be read: No such file"):
        read_pipeline(tmp_path / "gone.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(PipelineFileError, match=r"folder\.yaml cannot be read: Is a directory"):
        read_pipeline(tmp_path / "folder.yaml")


def test_the_platforms_document_may_be_missing(tmp_path: Path) -> None:
    pipeline = read_pipeline(write_pipeline(tmp_path, PIPELINE.split("---\n")[0]))
    assert pipeline.steps == ("SpanGen", "Trainer")


STEPS = {
    "Z": step("true", outputs=("model",)),
    "B": step("true", inputs={"it": ("Z", "model")}),
    "A": step("true", after=("B",)),
}
Document = dict[str, Any]


def _task(pipeline: Document, name: str) -> Document:
    return pipeline["root"]["dag"]["tasks"][name]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda one, two: one.update(extra=1), 'has no field named "extra"'),
        (lambda one, two: _task(one, "A").update(cacheOptions={}),
         'has no field named "cacheOptions"'),
        (lambda one, two: one["deploymentSpec"].update(none={}), 'has no field named "none"'),
        (lambda one, two: two.update(platform={}), 'has no field named "platform"'),
        (lambda one, two: two["platforms"]["kubernetes"]["deploymentSpec"].update(
            executors={"A_executor": {"nodeSelectors": {}}}),
         "the platform of A_executor is not what kfp-kubernetes reads: "
         'Message type "kfp_kubernetes.KubernetesExecutorConfig" has no field named'),
        (lambda one, two: _task(one, "A").update(componentRef={"name": "none"}),
         "A has no component 'none'"),
        (lambda one, two: one["deploymentSpec"]["executors"].pop("B_executor"),
         "B has no executor 'B_executor'"),
        (lambda one, two: _task(one, "A").update(dependentTasks=["N"]),
         "A needs N, and there is no such step"),
        (lambda one, two: _task(one, "B").update(dependentTasks=[]),
         "B reads an output of Z, which is not among its dependentTasks"),
        (lambda one, two: _task(one, "Z").update(dependentTasks=["A"]),
         "steps that wait for each other: "),
    ],
)  # fmt: skip
def test_what_kfp_would_refuse_is_told_with_its_place(
    tmp_path: Path, change: Callable[[Document, Document], object], error: str
) -> None:
    path = write(tmp_path / "pipeline.yaml", STEPS)
    assert read_pipeline(path).steps == ("Z", "B", "A")
    documents = list(yaml.safe_load_all(path.read_text()))
    change(*documents)
    path.write_text(yaml.safe_dump_all(documents))
    with pytest.raises(PipelineFileError) as caught:
        read_pipeline(path)
    assert error in str(caught.value)
    assert str(caught.value).startswith(str(path))
