"""What the stand-in does not run, though KFP would: refused by name, before anything runs.

It runs what `signs compile` writes: containers, one after the other, that take artifacts,
constants and the run's parameters, give artifacts, and are given claims and secrets by their names.
"""

from collections.abc import Iterator

from google.protobuf.message import Message

from kubeflow.compiling.pipeline_file import PipelineFile, Task
from signs.errors import UserError

# By message, the fields that are obeyed, or that mean nothing where there are no nodes and images.
_RUNS = {
    "ml_pipelines.PipelineTaskSpec": (
        "taskInfo componentRef inputs dependentTasks cachingOptions retryPolicy"
    ),
    "ml_pipelines.PipelineTaskSpec.CachingOptions": "enableCache",
    "ml_pipelines.TaskInputsSpec.InputArtifactSpec": "taskOutputArtifact",
    "ml_pipelines.TaskInputsSpec.InputParameterSpec": "runtimeValue componentInputParameter",
    "ml_pipelines.ValueOrRuntimeParameter": "constant",
    "ml_pipelines.ComponentSpec": "executorLabel inputDefinitions outputDefinitions",
    "ml_pipelines.ComponentOutputsSpec": "artifacts",
    "ml_pipelines.PipelineDeploymentConfig.ExecutorSpec": "container",
    "ml_pipelines.PipelineDeploymentConfig.PipelineContainerSpec": "image command args resources",
    "kfp_kubernetes.KubernetesExecutorConfig": (
        "pvcMount secretAsEnv secretAsVolume imagePullSecret nodeSelector tolerations "
        "securityContext emptyDirMounts"
    ),
    # The last of these is what newer backends read, and says the same.
    "kfp_kubernetes.PvcMount": "constant mountPath pvcNameParameter",
    "kfp_kubernetes.SecretAsEnv": "secretName keyToEnv optional secretNameParameter",
    "kfp_kubernetes.SecretAsVolume": "secretName mountPath secretNameParameter",
}


class LimitError(UserError):
    """The pipeline asks for something that the stand-in lacks."""


def check_limits(pipeline: PipelineFile) -> None:
    """Refuses a pipeline of which something would be left out.

    Raises:
        LimitError: it names the steps, and what they ask for by the file's names.
    """
    beyond = [f"{task.name}: {what}" for task in pipeline.tasks for what in _beyond(task)]
    if beyond:
        raise LimitError(
            f"{pipeline.path}: the stand-in does not run what a cluster may:\n  "
            + "\n  ".join(beyond)
        )


def _beyond(task: Task) -> Iterator[str]:
    for message in (task.spec, task.component, task.executor, task.platform):
        yield from _unknown(message)
    for mount in task.platform.pvc_mount:
        if not mount.constant:
            yield "pvcMount without constant"
    for use, secrets in (
        ("secretAsEnv", task.platform.secret_as_env),
        ("secretAsVolume", task.platform.secret_as_volume),
    ):
        if not all(secret.secret_name for secret in secrets):
            yield f"{use} without secretName"
    if any('{"IfPresent":' in arg for arg in task.container.args):
        yield "an argument that depends on whether an input is present"


def _unknown(message: Message) -> Iterator[str]:
    """The fields that are set, here or further down, and that nothing here obeys."""
    runs = _RUNS.get(message.DESCRIPTOR.full_name)
    for field, value in message.ListFields():
        if runs is not None and field.json_name not in runs.split():
            yield field.json_name
        elif field.message_type is None:
            continue
        elif isinstance(value, Message):
            yield from _unknown(value)
        else:
            values = value.values() if hasattr(value, "values") else value
            for one in values:
                if isinstance(one, Message):
                    yield from _unknown(one)
