"""What a pod is given, and what it would wait for."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as platform_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kubeflow.compiling.pipeline_file import Task
from kubeflow.standin.pod import Cluster, PodError, claim_names, make_pod


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    (tmp_path / "volume").mkdir()
    (tmp_path / "secrets" / "keys").mkdir(parents=True)
    (tmp_path / "secrets" / "keys" / "token").write_text("abc")
    return Cluster(
        claims={"mine": tmp_path / "volume", "gone": tmp_path / "gone"},
        secrets=tmp_path / "secrets",
        known_secrets={"known": {"token": "def"}},
        image={"/app": Path("/code")},
    )


def task(**platform: Any) -> Task:
    config = json_format.ParseDict(platform, platform_pb2.KubernetesExecutorConfig())
    executor = pb.PipelineDeploymentConfig.ExecutorSpec()
    return Task("A", pb.PipelineTaskSpec(), pb.ComponentSpec(), executor, config)


def as_env(name: str, key: str, **more: Any) -> dict[str, Any]:
    return {
        "secretName": name,
        "keyToEnv": [{"secretKey": key, "envVar": "TOKEN"}],
        **more,
    }


def test_the_images_code_the_claims_and_folders_of_its_own(
    cluster: Cluster, tmp_path: Path
) -> None:
    mounting = task(pvcMount=[{"constant": "mine", "mountPath": "/data"}])
    assert claim_names(mounting) == ["mine"]
    pod = make_pod(mounting, cluster, tmp_path / "pod")
    assert pod.environment == {}
    assert pod.mounts.here("/data/x") == tmp_path / "volume" / "x"
    assert pod.mounts.here("/app/x") == Path("/code/x")
    assert pod.mounts.here("/minio/b/x") == tmp_path / "pod" / "mounts" / "minio" / "b" / "x"


@pytest.mark.parametrize(("name", "value"), [("keys", "abc"), ("known", "def")])
def test_secrets_are_files_or_known(
    cluster: Cluster, tmp_path: Path, name: str, value: str
) -> None:
    pod = make_pod(task(secretAsEnv=[as_env(name, "token")]), cluster, tmp_path / "pod")
    assert pod.environment["TOKEN"] == value


def test_a_secret_may_be_a_folder(cluster: Cluster, tmp_path: Path) -> None:
    platform = {"secretAsVolume": [{"secretName": "keys", "mountPath": "/signing-keys"}]}
    pod = make_pod(task(**platform), cluster, tmp_path / "pod")
    assert pod.mounts.here("/signing-keys/token").read_text() == "abc"


def test_a_secret_may_be_optional(cluster: Cluster, tmp_path: Path) -> None:
    platform = {"secretAsEnv": [as_env("none", "token", optional=True)]}
    assert "TOKEN" not in make_pod(task(**platform), cluster, tmp_path).environment


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        ({"secretAsVolume": [{"secretName": "none", "mountPath": "/x"}]},
         'FailedMount: secret "none" not found. '),
        ({"secretAsEnv": [as_env("none", "token")]},
         'CreateContainerConfigError: secret "none" not found. '),
        ({"secretAsEnv": [as_env("keys", "word")]},
         "CreateContainerConfigError: couldn't find key word in Secret keys. "),
        ({"pvcMount": [{"constant": "none", "mountPath": "/data"}]},
         'FailedScheduling: persistentvolumeclaim "none" not found. The stand-in has: gone, mine'),
        ({"pvcMount": [{"constant": "gone", "mountPath": "/data"}]},
         'FailedScheduling: persistentvolumeclaim "gone" not found. '),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_as_kubernetes_does(
    cluster: Cluster, tmp_path: Path, platform: dict[str, Any], message: str
) -> None:
    with pytest.raises(PodError) as caught:
        make_pod(task(**platform), cluster, tmp_path)
    assert str(caught.value).startswith(message)
