"""The second document of a compiled pipeline: what Kubernetes gives each step's pod.

ClusterOptions -> kfp-kubernetes's KubernetesExecutorConfig, by executor label

KFP's driver applies it (backend/src/v2/driver/k8s.go, extendPodSpecPatch) and fails a step whose
configuration has a field that it does not know; here a misspelt field fails at once.
"""

from collections.abc import Collection, Iterable
from dataclasses import asdict

from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as pb
from kfp.pipeline_spec import pipeline_spec_pb2
from pydantic import JsonValue

from kubeflow.compiling.options import SIGNING_KEYS, ClusterOptions, StepOptions, Toleration
from kubeflow.together.joint_training import JointTraining
from signs.errors import UserError

_SHARED_MEMORY = "shared-memory"  # the volume's name within the pod


class PlatformError(UserError):
    """A platform document that KFP would not take."""


def platform_spec(
    labels: Iterable[tuple[str, StepOptions]],
    options: ClusterOptions,
    signing: Collection[str] = (),
) -> pipeline_spec_pb2.PlatformSpec:
    """Builds the platform document.

    Args:
        labels: of each executor, with what its step asks of a node.
        options: what all steps have in common.
        signing: labels of the executors whose steps have the keys that sign models.

    Returns:
        The document, with a configuration for every label.
    """
    spec = pipeline_spec_pb2.PlatformSpec()
    executors = spec.platforms["kubernetes"].deployment_spec.executors
    for label, step in labels:
        pod = _pod(step, options)
        if options.signing_secret and label in signing:
            pod.secret_as_volume.add(
                secret_name=options.signing_secret,
                secret_name_parameter=_constant(options.signing_secret),
                mount_path=SIGNING_KEYS,
            )
        executors[label].update(json_format.MessageToDict(pod))
    run = spec.platforms["kubernetes"].pipelineConfig
    if options.run_within_s:
        run.active_deadline_seconds = options.run_within_s
    if options.keep_pods_s:
        # All three: Argo takes the installation's for those that are not given, and they go before
        # the first (KFP 2.17 has an hour for each).
        run.resource_ttl_on_completion = options.keep_pods_s
        run.resource_ttl_on_success = options.keep_pods_s
        run.resource_ttl_on_failure = options.keep_pods_s
    return spec


def joint_training(options: ClusterOptions) -> JointTraining:
    """What the pods of a training on several machines get: what else a step would that trains."""
    step = options.training
    gpus = {step.gpu_type: str(step.gpu)} if step.gpu else {}
    pod: dict[str, JsonValue] = {}
    if step.node_selector:
        pod["nodeSelector"] = dict(step.node_selector)
    if tolerations := _tolerations(step):
        pod["tolerations"] = [
            {name: value for name, value in asdict(one).items() if value} for one in tolerations
        ]
    if options.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    ids = {"runAsUser": options.run_as_user, "runAsGroup": options.run_as_group}
    if own := {name: number for name, number in ids.items() if number is not None}:
        pod["securityContext"] = {**own}
    return JointTraining(
        kind=step.job,
        workers=step.workers,
        claim=options.claim,
        mount=options.mount,
        resources={
            "requests": {"cpu": step.cpu_request, "memory": step.memory_request, **gpus},
            "limits": {"cpu": step.cpu_limit, "memory": step.memory_limit, **gpus},
        },
        pod=pod,
    )


def read_platform(document: object) -> dict[str, pb.KubernetesExecutorConfig]:
    """Reads a platform document as strictly as KFP does.

    Returns:
        The configurations, by executor label.

    Raises:
        PlatformError: an executor's configuration has a field that kfp-kubernetes does not know, or
            a value of another type.
    """
    try:
        spec = json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
    except json_format.ParseError as err:
        raise PlatformError(
            f"the platform document is not what kfp-kubernetes reads: {err}"
        ) from err
    configs = {}
    for label, config in spec.platforms["kubernetes"].deployment_spec.executors.items():
        fields = json_format.MessageToDict(config)
        try:
            configs[label] = json_format.ParseDict(fields, pb.KubernetesExecutorConfig())
        except json_format.ParseError as err:
            raise PlatformError(
                f"the platform of {label} is not what kfp-kubernetes reads: {err}"
            ) from err
    return configs


def _pod(step: StepOptions, options: ClusterOptions) -> pb.KubernetesExecutorConfig:
    # Names are given twice, as kfp-kubernetes does: the first form is for backends older than 2.5.
    config = pb.KubernetesExecutorConfig(
        pvc_mount=[
            pb.PvcMount(
                constant=options.claim,
                pvc_name_parameter=_constant(options.claim),
                mount_path=options.mount,
            )
        ],
        tolerations=[
            pb.Toleration(key=one.key, operator=one.operator, value=one.value, effect=one.effect)
            for one in _tolerations(step)
        ],
        image_pull_secret=[
            pb.ImagePullSecret(secret_name=name, secret_name_parameter=_constant(name))
            for name in options.image_pull_secrets
        ],
        security_context=pb.SecurityContext(
            run_as_non_root=True,
            run_as_user=options.run_as_user,
            run_as_group=options.run_as_group,
        ),
    )
    if step.node_selector:
        config.node_selector.labels.update(step.node_selector)
    if step.shared_memory:
        # Not enabled_shared_memory: no backend reads that (it is for another platform).
        config.empty_dir_mounts.add(
            volume_name=_SHARED_MEMORY,
            mount_path="/dev/shm",
            medium="Memory",
            size_limit=step.shared_memory,
        )
    if secret := options.object_store_secret:
        config.secret_as_env.add(
            secret_name=secret,
            secret_name_parameter=_constant(secret),
            key_to_env=[
                pb.SecretAsEnv.SecretKeyToEnvMap(secret_key=key, env_var=variable)
                for variable, key in sorted(options.secret_env.items())
            ],
            optional=False,
        )
    return config


def _tolerations(step: StepOptions) -> tuple[Toleration, ...]:
    """The step's own, and on a GPU one for the taint by which clusters keep other pods off them."""
    if not step.gpu or step.gpu_type in [one.key for one in step.tolerations]:
        return step.tolerations
    return (*step.tolerations, Toleration(step.gpu_type, "Exists", effect="NoSchedule"))


def _constant(value: str) -> pipeline_spec_pb2.TaskInputsSpec.InputParameterSpec:
    spec = pipeline_spec_pb2.TaskInputsSpec.InputParameterSpec()
    spec.runtime_value.constant.string_value = value
    return spec
