"""The compiled file, read as KFP's API server and argo compiler read it.

pipeline.yaml: a PipelineSpec and, after `---`, a PlatformSpec -> Plan: tasks in order
(api/v2alpha1/pipeline_spec.proto, kubernetes_platform/proto/kubernetes_executor_config.proto)
"""

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

import yaml
from google.protobuf import json_format
from google.protobuf.message import Message
from kfp.kubernetes import kubernetes_executor_config_pb2 as platform_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from signs.errors import UserError

_SCHEMA_VERSION = "2.1.0"  # backend/src/apiserver/template/v2_template.go
# kfp's constant for a task that runs whatever became of those before it.
_EXIT_HANDLER = pb.PipelineTaskSpec.TriggerPolicy.ALL_UPSTREAM_TASKS_COMPLETED


_M = TypeVar("_M", bound=Message)


class PlanError(UserError):
    """The file is no pipeline that the stand-in can run."""


@dataclass(frozen=True)
class Task:
    """One step, with all that is said of it in the two documents."""

    name: str
    spec: pb.PipelineTaskSpec
    component: pb.ComponentSpec
    container: pb.PipelineDeploymentConfig.PipelineContainerSpec
    platform: platform_pb2.KubernetesExecutorConfig  # empty where nothing is said

    @property
    def label(self) -> str:
        """What a user calls it."""
        return self.spec.task_info.name or self.name


@dataclass(frozen=True)
class Plan:
    """A pipeline. `tasks` is in an order in which each follows those that it depends on."""

    name: str
    root: str  # in the object store, where the file names one; else empty
    inputs: pb.ComponentInputsSpec  # the pipeline's own parameters
    tasks: tuple[Task, ...]


def read_plan(path: Path) -> Plan:
    """Reads a compiled pipeline.

    Raises:
        PlanError: it cannot be read, has a field that KFP does not know, or asks for something
            that the stand-in lacks (nested pipelines, importers, loops, exit handlers).
    """
    try:
        documents = list(yaml.safe_load_all(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
        raise PlanError(f"{path} cannot be read: {' '.join(str(err).split())}") from err
    if not 1 <= len(documents) <= 2 or not all(isinstance(one, dict) for one in documents):
        raise PlanError(
            f"{path} is no compiled pipeline: it must hold a pipeline and, after a line of ---, "
            f"what is said of its platform. Received: {len(documents)} documents"
        )
    spec = _parse(documents[0], pb.PipelineSpec(), f"{path}: the pipeline")
    if spec.schema_version != _SCHEMA_VERSION:
        raise PlanError(
            f"{path}: KFP only supports schema version {_SCHEMA_VERSION}. "
            f"Received: {spec.schema_version!r}"
        )
    if not spec.pipeline_info.name:
        raise PlanError(f"{path}: the pipeline has no name (pipelineInfo.name)")
    deployment = _parse(
        json_format.MessageToDict(spec.deployment_spec),
        pb.PipelineDeploymentConfig(),
        f"{path}: deploymentSpec",
    )
    platform = _parse(
        documents[1] if len(documents) == 2 else {}, pb.PlatformSpec(), f"{path}: the platform"
    )
    executors = platform.platforms["kubernetes"].deployment_spec.executors
    tasks = {}
    for name, task in spec.root.dag.tasks.items():
        component = spec.components.get(task.component_ref.name)
        if component is None:
            raise PlanError(f"{path}: {name} has no component {task.component_ref.name!r}")
        label = component.executor_label
        executor = deployment.executors.get(label)
        _refuse_what_is_missing_here(name, task, component, executor)
        config = _parse(
            json_format.MessageToDict(executors[label]) if label in executors else {},
            platform_pb2.KubernetesExecutorConfig(),
            f"{path}: the platform of {label}",
        )
        tasks[name] = Task(name, task, component, executor.container, config)
    if not tasks:
        raise PlanError(f"{path}: the pipeline has no tasks")
    return Plan(
        spec.pipeline_info.name,
        spec.default_pipeline_root,
        spec.root.input_definitions,
        _in_order(tasks, path),
    )


def _parse(document: Any, message: _M, what: str) -> _M:
    try:
        return json_format.ParseDict(document, message)
    except json_format.ParseError as err:
        raise PlanError(f"{what} is not as KFP wants it: {' '.join(str(err).split())}") from err


def _refuse_what_is_missing_here(
    name: str,
    task: pb.PipelineTaskSpec,
    component: pb.ComponentSpec,
    executor: pb.PipelineDeploymentConfig.ExecutorSpec | None,
) -> None:
    if component.HasField("dag"):
        what = "a pipeline of its own"
    elif executor is None:
        raise PlanError(f"{name} has no executor {component.executor_label!r}")
    elif executor.WhichOneof("spec") != "container":
        what = f"a {executor.WhichOneof('spec')} executor"
    elif task.WhichOneof("iterator"):
        what = "a loop"
    elif task.trigger_policy.strategy == _EXIT_HANDLER:
        what = "an exit handler"
    elif any('{"IfPresent":' in arg for arg in executor.container.args):
        what = "an argument that depends on whether an input is present"
    else:
        return
    raise PlanError(f"{name} is {what}: the stand-in runs only containers, one after the other")


def _in_order(tasks: dict[str, Task], path: Path) -> tuple[Task, ...]:
    graph = {name: sorted(tasks[name].spec.dependent_tasks) for name in sorted(tasks)}
    for name, task in tasks.items():
        inputs = task.spec.inputs
        producers = {
            *(one.task_output_artifact.producer_task for one in inputs.artifacts.values()),
            *(one.task_output_parameter.producer_task for one in inputs.parameters.values()),
        } - {""}
        for producer in sorted(producers | set(graph[name])):
            if producer not in tasks:
                raise PlanError(f"{path}: {name} needs {producer}, and there is no such task")
            if producer not in graph[name]:
                # Argo orders by dependentTasks alone: the two would run at once.
                raise PlanError(
                    f"{path}: {name} reads an output of {producer}, which is not among its "
                    "dependentTasks"
                )
    try:
        return tuple(tasks[name] for name in TopologicalSorter(graph).static_order())
    except CycleError as err:
        raise PlanError(f"{path}: tasks wait for each other: {' -> '.join(err.args[1])}") from err
