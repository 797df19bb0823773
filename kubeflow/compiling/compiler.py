"""The pipeline as KFP v2 reads it: the same DAG as everywhere, in two YAML documents.

PipelineConfig, ClusterOptions -> create_pipeline -> TFX's compiler -> what TFX leaves out -> text

TFX's compiler (tfx.orchestration.kubeflow.v2) targets Vertex AI. Added here: defaults of the
parameters, the image as a parameter, resources, retries, no caching where the key does not hold
what a step reads, and the platform document. What KFP's open-source backend cannot run is refused
(`kubeflow.compiling.checks`).
"""

import tempfile
from pathlib import Path

from google.protobuf import json_format
from kfp.compiler.pipeline_spec_builder import write_pipeline_spec_to_file
from kfp.pipeline_spec.pipeline_spec_pb2 import (
    ComponentSpec,
    ParameterType,
    PipelineDeploymentConfig,
    PipelineSpec,
    PipelineTaskSpec,
)
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.components.trainer.component import Trainer
from tfx.components.tuner.component import Tuner
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
    KubeflowV2DagRunner,
    KubeflowV2DagRunnerConfig,
)
from tfx.orchestration.pipeline import Pipeline

from components.newest_pushed import NewestPushed
from components.pusher import Pusher
from components.serving_check import ServingCheck
from kubeflow.compiling.checks import (
    IMAGE,
    CompileError,
    check_name,
    check_pipeline,
    runtime_parameters,
)
from kubeflow.compiling.options import SIGNING_KEYS, ClusterOptions, StepOptions
from kubeflow.compiling.platform import joint_training, platform_spec
from pipeline.config import PipelineConfig
from pipeline.environment import Environment
from pipeline.pipeline import create_pipeline

COMMAND = (
    "python",
    "-m",
    "kubeflow.step.entrypoint",
)  # of every step's container, before TFX's args

_TRAINING = (Trainer, Tuner)
_TOGETHER = "kubeflow.together.start.run_fn"  # in the place of a training in the step itself
_IMAGE_PARAMETER = (
    f"{{{{$.inputs.parameters['{IMAGE}']}}}}"  # KFP puts the run's image in its place
)
_BEAM_ARGS = (
    # Beam's in-process runner by its name: what Beam takes by default downloads a program first.
    "--runner=FnApiRunner",
    # Beam's workers have TFX: otherwise TFX packs itself for them, in every step.
    "--sdk_container_image",
    _IMAGE_PARAMETER,  # alone, since older KFP replaces the whole argument
)


def compile_pipeline(config: PipelineConfig, options: ClusterOptions) -> str:
    """Compiles the pipeline for a cluster.

    Args:
        config: what the runs compute.
        options: what the cluster gives each step.

    Returns:
        The text of `pipeline.yaml`: the pipeline's document, then the platform's. The same
        arguments give the same text.

    Raises:
        CompileError: open-source KFP cannot run the pipeline.
    """
    check_name(config.pipeline_name)  # TFX would not even build a pipeline of a longer name
    return compile_tfx(create_pipeline(config, environment(config, options)), options)


def environment(config: PipelineConfig, options: ClusterOptions) -> Environment:
    """Where the steps find things: the claim's folders, the bucket and the image's code."""
    name = config.data.name
    joint = joint_training(options) if options.training.workers > 1 else None
    return Environment(
        data_root=f"{options.mount}/data/{name}",
        pipeline_root=options.pipeline_root,
        serving_root=f"{options.mount}/serving/{name}",
        also_test_root=f"{options.mount}/also_test",
        checkpoint_root=f"{options.mount}/checkpoints/{name}",
        keys=SIGNING_KEYS if options.signing_secret else None,
        beam_args=_BEAM_ARGS,
        run_fn=_TOGETHER if joint else Environment.run_fn,
        beside_job=joint.to_custom_config() if joint else {},
        code_root=options.code_root,
        runtime_parameters=True,
    )


def compile_tfx(pipeline: Pipeline, options: ClusterOptions) -> str:
    """Compiles any TFX pipeline; see `compile_pipeline`."""
    check_pipeline(pipeline)
    spec = _tfx_spec(pipeline, options)
    deployment = PipelineDeploymentConfig()
    json_format.ParseDict(json_format.MessageToDict(spec.deployment_spec), deployment)
    labels, signing = [], []
    for node in pipeline.components:
        component = spec.components[node.id]
        task = spec.root.dag.tasks[node.id]
        _set_retries(task, options)
        if _touches_volume(node):
            task.caching_options.enable_cache = False
        executor = deployment.executors[component.executor_label]
        if executor.WhichOneof("spec") == "container":
            trains = isinstance(node, Tuner if options.training.workers > 1 else _TRAINING)
            step = options.training if trains else options.steps
            _set_image(component, task, executor.container)
            _set_resources(executor.container.resources, step)
            # TFX's hook for ExampleGen's driver: KFP never calls it, the entrypoint does.
            executor.container.ClearField("lifecycle")
            labels.append((component.executor_label, step))
            if isinstance(node, (Pusher, ServingCheck)):
                signing.append(component.executor_label)
    spec.deployment_spec.Clear()
    spec.deployment_spec.update(json_format.MessageToDict(deployment))
    _set_defaults(spec, pipeline.components, options)
    # KFP's server does not read it; `signs submit` does, and hands it on.
    spec.default_pipeline_root = pipeline.pipeline_info.pipeline_root
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")  # KFP's writer takes no stream
        write_pipeline_spec_to_file(
            spec,
            "SIGNS: from images to a blessed and pushed model.",
            platform_spec(labels, options, signing),
            str(path),
        )
        return path.read_text()


def _tfx_spec(pipeline: Pipeline, options: ClusterOptions) -> PipelineSpec:
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(
            default_image=options.image,
            default_commands=list(COMMAND),
            use_pipeline_spec_2_1=True,
        )
    )
    try:
        job = runner.run(pipeline, write_out=False)
    except (AssertionError, NotImplementedError, TypeError, ValueError) as err:
        raise CompileError(f"TFX cannot compile this pipeline for Kubeflow: {err}") from err
    return json_format.ParseDict(job["pipelineSpec"], PipelineSpec())


def _touches_volume(node: BaseNode) -> bool:
    """Whether a step's result depends on more than KFP's cache key holds, or is more than files.

    The key (backend/src/v2/cacheutils/cache.go) holds the arguments and the inputs' identities, not
    what lies in a volume: a cached step would not see what is new there, or would not write there.
    A span and version that are named are in the key, and never change.
    """
    if isinstance(node, FileBasedExampleGen):
        pattern = str(node.exec_properties["input_config"])
        is_span_named = "static_range" in str(node.exec_properties.get("range_config"))
        return "{VERSION}" in pattern or ("{SPAN}" in pattern and not is_span_named)
    return isinstance(node, (NewestPushed, Pusher))


def _set_retries(task: PipelineTaskSpec, options: ClusterOptions) -> None:
    task.retry_policy.max_retry_count = options.retries
    task.retry_policy.backoff_duration.seconds = options.backoff_s
    task.retry_policy.backoff_factor = options.backoff_factor
    # Argo counts this from the first start of the step, and by KFP's default of an hour a training
    # that dies after that is never retried; without a value it is never retried at all.
    task.retry_policy.backoff_max_duration.seconds = options.retry_within_s


def _set_image(
    component: ComponentSpec,
    task: PipelineTaskSpec,
    container: PipelineDeploymentConfig.PipelineContainerSpec,
) -> None:
    container.image = _IMAGE_PARAMETER
    component.input_definitions.parameters[IMAGE].parameter_type = ParameterType.STRING
    task.inputs.parameters[IMAGE].component_input_parameter = IMAGE


def _set_resources(
    resources: PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec, step: StepOptions
) -> None:
    resources.resource_cpu_request = step.cpu_request
    resources.resource_cpu_limit = step.cpu_limit
    resources.resource_memory_request = step.memory_request
    resources.resource_memory_limit = step.memory_limit
    if step.gpu:
        resources.accelerator.resource_type = step.gpu_type
        resources.accelerator.resource_count = str(step.gpu)


def _set_defaults(spec: PipelineSpec, nodes: list[BaseNode], options: ClusterOptions) -> None:
    inputs = spec.root.input_definitions.parameters
    inputs[IMAGE].parameter_type = ParameterType.STRING
    defaults = {name: one.default for name, one in runtime_parameters(nodes).items()}
    for name, default in {**defaults, IMAGE: options.image}.items():
        if default is None:
            continue  # each run must give it
        if isinstance(default, str):
            inputs[name].default_value.string_value = default
        else:
            inputs[name].default_value.number_value = default
        inputs[name].is_optional = True
