"""The platform document, word for word, and what kfp-kubernetes does not know."""

import copy

import pytest
from google.protobuf import json_format

from kubeflow.compiling.options import ClusterOptions, StepOptions, Toleration, TrainingOptions
from kubeflow.compiling.platform import PlatformError, platform_spec, read_platform

IMAGE = f"signs@sha256:{'0' * 64}"


def test_training_on_gpus_word_for_word() -> None:
    options = ClusterOptions(
        image=IMAGE,
        claim="volume",
        mount="/data",
        image_pull_secrets=("registry",),
        run_as_user=10001,
        run_as_group=10002,
    )
    step = TrainingOptions(
        gpu=2,
        node_selector={"pool": "gpu"},
        tolerations=(Toleration("spot", value="true", effect="NoExecute"),),
        shared_memory="2Gi",
    )
    spec = platform_spec([("Trainer_executor", step)], options)
    assert json_format.MessageToDict(spec) == {
        "platforms": {
            "kubernetes": {
                "deploymentSpec": {
                    "executors": {
                        "Trainer_executor": {
                            "pvcMount": [
                                {
                                    "constant": "volume",
                                    "pvcNameParameter": {"runtimeValue": {"constant": "volume"}},
                                    "mountPath": "/data",
                                }
                            ],
                            "nodeSelector": {"labels": {"pool": "gpu"}},
                            "tolerations": [
                                {
                                    "key": "spot",
                                    "operator": "Equal",
                                    "value": "true",
                                    "effect": "NoExecute",
                                },
                                {
                                    "key": "nvidia.com/gpu",
                                    "operator": "Exists",
                                    "effect": "NoSchedule",
                                },
                            ],
                            "emptyDirMounts": [
                                {
                                    "volumeName": "shared-memory",
                                    "mountPath": "/dev/shm",
                                    "medium": "Memory",
                                    "sizeLimit": "2Gi",
                                }
                            ],
                            "secretAsEnv": [
                                {
                                    "secretName": "mlpipeline-minio-artifact",
                                    "secretNameParameter": {
                                        "runtimeValue": {"constant": "mlpipeline-minio-artifact"}
                                    },
                                    "keyToEnv": [
                                        {
                                            "envVar": "AWS_ACCESS_KEY_ID",
                                            "secretKey": "accesskey",
                                        },
                                        {
                                            "envVar": "AWS_SECRET_ACCESS_KEY",
                                            "secretKey": "secretkey",
                                        },
                                    ],
                                    "optional": False,
                                }
                            ],
                            "imagePullSecret": [
                                {
                                    "secretName": "registry",
                                    "secretNameParameter": {
                                        "runtimeValue": {"constant": "registry"}
                                    },
                                }
                            ],
                            "securityContext": {
                                "runAsUser": "10001",
                                "runAsGroup": "10002",
                                "runAsNonRoot": True,
                            },
                        }
                    }
                }
            }
        }
    }


def test_own_toleration_of_the_gpu_taint_is_the_only_one() -> None:
    mine = Toleration("nvidia.com/gpu", "Exists", effect="NoExecute")
    step = TrainingOptions(gpu=1, tolerations=(mine,))
    spec = platform_spec([("A_executor", step)], ClusterOptions(image=IMAGE))
    document = json_format.MessageToDict(spec)
    executors = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors["A_executor"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}
    ]


def test_plain_step_has_the_volume_and_no_more() -> None:
    options = ClusterOptions(image=IMAGE, pipeline_root="gs://bucket/runs")
    document = json_format.MessageToDict(platform_spec([("A_executor", StepOptions())], options))
    assert document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["A_executor"] == {
        "pvcMount": [
            {
                "constant": "signs-workspace",
                "pvcNameParameter": {"runtimeValue": {"constant": "signs-workspace"}},
                "mountPath": "/workspace",
            }
        ],
        "securityContext": {"runAsNonRoot": True},
    }


def test_what_kfp_kubernetes_does_not_know_is_refused() -> None:
    options = ClusterOptions(image=IMAGE)
    document = json_format.MessageToDict(platform_spec([("A_executor", StepOptions())], options))
    read_platform(document)
    misspelt = copy.deepcopy(document)
    executors = misspelt["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors["A_executor"]["nodeSelektor"] = {"labels": {"pool": "gpu"}}
    with pytest.raises(PlatformError, match='no field named "nodeSelektor"'):
        read_platform(misspelt)
    mistyped = copy.deepcopy(document)
    executors = mistyped["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors["A_executor"]["pvcMount"][0]["mountPath"] = 3
    with pytest.raises(PlatformError, match="mountPath"):
        read_platform(mistyped)
    with pytest.raises(PlatformError, match='no field named "platform"'):
        read_platform({"platform": {}})


def test_the_keys_that_sign_go_to_the_steps_that_sign_alone() -> None:
    options = ClusterOptions(image=IMAGE, signing_secret="signs-keys")
    labels = [(name, StepOptions()) for name in ("Pusher_executor", "Trainer_executor")]
    pods = read_platform(
        json_format.MessageToDict(platform_spec(labels, options, ["Pusher_executor"]))
    )
    [mounted] = pods["Pusher_executor"].secret_as_volume
    assert (mounted.secret_name, mounted.mount_path) == ("signs-keys", "/signing-keys")
    assert not pods["Trainer_executor"].secret_as_volume


def test_the_runs_deadline_and_how_long_its_pods_are_kept() -> None:
    options = ClusterOptions(image=IMAGE, run_within_s=172800, keep_pods_s=86400)
    document = json_format.MessageToDict(platform_spec([("A_executor", StepOptions())], options))
    assert document["platforms"]["kubernetes"]["pipelineConfig"] == {
        "activeDeadlineSeconds": 172800,
        "resourceTtlOnCompletion": 86400,
        "resourceTtlOnSuccess": 86400,
        "resourceTtlOnFailure": 86400,
    }
    read_platform(document)
