"""A compiled pipeline, as `signs compile` writes it: read in one way, and checked without a server.

pipeline.yaml (the PipelineSpec, then the PlatformSpec) -> PipelineFile -> submitting, standin

What is checked is what KFP's API server checks when it loads the file (`NewV2SpecTemplate`,
backend/src/apiserver/template/v2_template.go), what its argo compiler needs, and what kfp's client
wants (`_extract_pipeline_yaml`): a mistake is told before anything is sent or run.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TypeVar

import yaml
from google.protobuf import json_format
from google.protobuf.message import Message
from kfp.kubernetes import kubernetes_executor_config_pb2 as platform_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kubeflow.compiling.platform import PlatformError, read_platform
from signs.errors import UserError

SUFFIXES = (".yaml", ".yml")  # kfp's client refuses .json
# KFP puts a step's parameter in the place of this (backend/src/v2/driver/container.go).
PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
# Of parameters, with Go's names for their values (structpb).
KINDS = {
    "STRING": "string",
    "NUMBER_INTEGER": "number",
    "NUMBER_DOUBLE": "number",
    "BOOLEAN": "bool",
    "LIST": "list",
    "STRUCT": "struct",
}
_SCHEMA_VERSION = "2.1.0"
_M = TypeVar("_M", bound=Message)


class PipelineFileError(UserError):
    """The file is no pipeline that KFP takes."""


@dataclass(frozen=True)
class Task:
    """One step, with all that the two documents say of it."""

    name: str
    spec: pb.PipelineTaskSpec
    component: pb.ComponentSpec
    executor: pb.PipelineDeploymentConfig.ExecutorSpec  # empty: it is a pipeline of its own
    platform: platform_pb2.KubernetesExecutorConfig  # empty where nothing is said

    @property
    def container(self) -> pb.PipelineDeploymentConfig.PipelineContainerSpec:
        """What runs, where a container does."""
        return self.executor.container


@dataclass(frozen=True)
class PipelineFile:
    """A pipeline that KFP can run. `tasks` stand in an order in which they can run."""

    path: Path
    digest: str  # SHA-256 of the file, in hexadecimal
    name: str
    root: str  # where artifacts go, as it was compiled; "" leaves it to the cluster
    parameters: Mapping[str, pb.ComponentInputsSpec.ParameterSpec]
    tasks: tuple[Task, ...]
    images: tuple[str, ...]  # as the file has them: an image, or a parameter's name in KFP's braces

    @property
    def version(self) -> str:
        """Names this content: the same file is uploaded once."""
        return self.digest[:12]

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return tuple(task.name for task in self.tasks)

    @property
    def retried(self) -> frozenset[str]:
        """The steps that have a retry policy."""
        return frozenset(task.name for task in self.tasks if task.spec.HasField("retry_policy"))


def read_pipeline(path: Path) -> PipelineFile:
    """Reads what `signs compile` wrote.

    Raises:
        PipelineFileError: there is no such file, or KFP would refuse it.
    """
    if path.suffix not in SUFFIXES:
        raise PipelineFileError(
            f"{path} must end in .yaml: kfp's client takes no other. Write one with "
            "`signs compile --output pipeline.yaml`"
        )
    try:
        content = path.read_bytes()
    except OSError as err:
        raise PipelineFileError(f"{path} cannot be read: {err.strerror}") from err
    try:
        documents = list(yaml.load_all(content, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise PipelineFileError(f"{path} is not YAML: {' '.join(str(err).split())}") from err
    if not 1 <= len(documents) <= 2 or not all(isinstance(one, dict) for one in documents):
        raise PipelineFileError(
            f"{path} is not a compiled pipeline: it must hold one or two documents, the pipeline "
            f"and what is said of its platform. Received: {len(documents)}"
        )
    try:
        # Strictly: a field that KFP does not know is an error, as it is there.
        spec = json_format.ParseDict(documents[0], pb.PipelineSpec())
        deployment = _as(spec.deployment_spec, pb.PipelineDeploymentConfig())
        platforms = read_platform(documents[1] if len(documents) == 2 else {})
    except (json_format.ParseError, PlatformError) as err:
        # protobuf lists the fields that there are, on lines of their own.
        reason = str(err).splitlines()[0]
        raise PipelineFileError(f"{path} is not a compiled pipeline: {reason}") from err
    if spec.schema_version != _SCHEMA_VERSION:
        raise PipelineFileError(
            f"{path} is of schema {spec.schema_version or 'unknown'}: KFP's server takes "
            f"{_SCHEMA_VERSION}. Compile it with `signs compile`"
        )
    if not spec.pipeline_info.name or not spec.root.dag.tasks or not deployment.executors:
        raise PipelineFileError(
            f"{path} is not a compiled pipeline: it has no name, no steps or no images"
        )
    try:
        tasks = {
            name: _task(name, task, spec, deployment, platforms)
            for name, task in sorted(spec.root.dag.tasks.items())
        }
        _check_kinds(spec.root.input_definitions)
        images = _images(deployment, spec.root.input_definitions)
        return PipelineFile(
            path=path,
            digest=hashlib.sha256(content).hexdigest(),
            name=spec.pipeline_info.name,
            root=spec.default_pipeline_root,
            parameters=dict(sorted(spec.root.input_definitions.parameters.items())),
            tasks=_in_order(tasks),
            images=images,
        )
    except PipelineFileError as err:
        raise PipelineFileError(f"{path}: {err}") from err


def _as(document: Message, message: _M) -> _M:
    """A message that lies in another as a mere document."""
    return json_format.ParseDict(json_format.MessageToDict(document), message)


def _task(
    name: str,
    task: pb.PipelineTaskSpec,
    spec: pb.PipelineSpec,
    deployment: pb.PipelineDeploymentConfig,
    platforms: Mapping[str, platform_pb2.KubernetesExecutorConfig],
) -> Task:
    component = spec.components.get(task.component_ref.name)
    if component is None:
        raise PipelineFileError(f"{name} has no component {task.component_ref.name!r}")
    label = component.executor_label
    executor = deployment.executors.get(label)
    if executor is None and not component.HasField("dag"):
        raise PipelineFileError(f"{name} has no executor {label!r}")
    return Task(
        name,
        task,
        component,
        executor or pb.PipelineDeploymentConfig.ExecutorSpec(),
        platforms.get(label) or platform_pb2.KubernetesExecutorConfig(),
    )


def _in_order(tasks: Mapping[str, Task]) -> tuple[Task, ...]:
    graph = {name: sorted(task.spec.dependent_tasks) for name, task in tasks.items()}
    for name, task in tasks.items():
        inputs = task.spec.inputs
        producers = {
            *(one.task_output_artifact.producer_task for one in inputs.artifacts.values()),
            *(one.task_output_parameter.producer_task for one in inputs.parameters.values()),
        } - {""}
        for producer in sorted(producers | set(graph[name])):
            if producer not in tasks:
                raise PipelineFileError(f"{name} needs {producer}, and there is no such step")
            if producer not in graph[name]:
                # Argo orders by dependentTasks alone: the two would run at once.
                raise PipelineFileError(
                    f"{name} reads an output of {producer}, which is not among its dependentTasks"
                )
    try:
        return tuple(tasks[name] for name in TopologicalSorter(graph).static_order())
    except CycleError as err:
        raise PipelineFileError(
            f"steps that wait for each other: {' -> '.join(err.args[1])}"
        ) from err


def _check_kinds(inputs: pb.ComponentInputsSpec) -> None:
    for name, spec in inputs.parameters.items():
        kind = pb.ParameterType.ParameterTypeEnum.Name(spec.parameter_type)
        if kind not in KINDS:
            raise PipelineFileError(f"the parameter {name} is of no known type: {kind}")


def _images(
    deployment: pb.PipelineDeploymentConfig, inputs: pb.ComponentInputsSpec
) -> tuple[str, ...]:
    executors = [executor for _, executor in sorted(deployment.executors.items())]
    images = [one.container.image for one in executors if one.HasField("container")]
    for name in {name for image in images for name in PARAMETER.findall(image)}:
        if name not in inputs.parameters:
            raise PipelineFileError(f"an image is named by a parameter that it lacks: {name}")
    return tuple(dict.fromkeys(images))
