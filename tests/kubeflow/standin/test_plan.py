"""The compiled file is read strictly, and what the stand-in cannot run is refused by name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeflow.standin.plan import PlanError, read_plan
from tests.kubeflow.standin.tiny import step, write

STEPS = {
    "Z": step("true", outputs=("model",), retries=3),
    "B": step("true", inputs={"it": ("Z", "model")}),
    "A": step("true", after=("B",)),
}


def changed(tmp_path: Path, change: Any) -> Path:
    """A file with the three steps whose two documents `change` has edited."""
    path = write(tmp_path / "pipeline.yaml", STEPS)
    documents = list(yaml.safe_load_all(path.read_text()))
    change(*documents)
    path.write_text(yaml.safe_dump_all(documents))
    return path


def test_tasks_come_after_those_that_they_depend_on(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path / "pipeline.yaml", STEPS))
    assert (plan.name, plan.root) == ("tiny", "")
    assert [task.name for task in plan.tasks] == ["Z", "B", "A"]
    policy = plan.tasks[0].spec.retry_policy
    assert (policy.max_retry_count, policy.backoff_duration.seconds) == (3, 30)
    assert plan.tasks[0].container.command[:2] == ["sh", "-euc"]


def test_the_platforms_document_may_be_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "pipeline.yaml", STEPS)
    path.write_text(path.read_text().split("\n---\n")[0])
    assert len(read_plan(path).tasks) == 3


def _task(pipeline: dict[str, Any], name: str) -> dict[str, Any]:
    return pipeline["root"]["dag"]["tasks"][name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda one, two: one.update(schemaVersion="2.0.0"),
            "KFP only supports schema version 2.1.0. Received: '2.0.0'",
        ),
        (lambda one, two: one.update(pipelineInfo={}), "the pipeline has no name"),
        (lambda one, two: one.update(extra=1), 'has no field named "extra"'),
        (
            lambda one, two: _task(one, "A").update(cacheOptions={}),
            'has no field named "cacheOptions"',
        ),
        (lambda one, two: two.update(platform={}), 'has no field named "platform"'),
        (
            lambda one, two: two["platforms"]["kubernetes"]["deploymentSpec"].update(
                executors={"A_executor": {"nodeSelectors": {}}}
            ),
            "the platform of A_executor is not as KFP wants it: "
            'Message type "kfp_kubernetes.KubernetesExecutorConfig" has no field named',
        ),
        (
            lambda one, two: _task(one, "A").update(componentRef={"name": "none"}),
            "A has no component 'none'",
        ),
        (lambda one, two: one["deploymentSpec"]["executors"].pop("B_executor"),
         "B has no executor 'B_executor'"),
        (lambda one, two: _task(one, "A").update(dependentTasks=["N"]),
         "A needs N, and there is no such task"),
        (lambda one, two: _task(one, "B").update(dependentTasks=[]),
         "B reads an output of Z, which is not among its dependentTasks"),
        (lambda one, two: _task(one, "Z").update(dependentTasks=["A"]),
         "tasks wait for each other: "),
        (lambda one, two: one["root"]["dag"].update(tasks={}), "the pipeline has no tasks"),
        (lambda one, two: one["deploymentSpec"]["executors"].update(A_executor={"importer": {}}),
         "A is a importer executor: the stand-in runs only containers"),
        (lambda one, two: _task(one, "A").update(parameterIterator={"itemInput": "x"}),
         "A is a loop: the stand-in runs only containers"),
        (lambda one, two: _task(one, "A").update(
            triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}),
         "A is an exit handler: the stand-in runs only containers"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_told_with_its_place(
    tmp_path: Path, change: Any, message: str
) -> None:
    with pytest.raises(PlanError) as caught:
        read_plan(changed(tmp_path, change))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Received: 0 documents"),
        ("- a\n", "is no compiled pipeline"),
        ("a: [\n", "cannot be read: "),
        ("a: 1\n---\nb: 1\n---\nc: 1\n", "Received: 3 documents"),
        ("a: \x00\n", "cannot be read: "),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    with pytest.raises(PlanError) as caught:
        read_plan(path)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"none\.yaml cannot be read: .*No such file"):
        read_plan(tmp_path / "none.yaml")
