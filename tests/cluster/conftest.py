"""One cluster for all tests of this folder, with a node, the claim's volume and the CRDs."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.argo import Argo
from tests.cluster.control_plane import ControlPlane, dumped
from tests.cluster.database import Database
from tests.cluster.kfp_server import KfpServer, archive_of_logs, kfp_server_programs
from tests.cluster.node import Node
from tests.cluster.nodes import REPOSITORY, Nodes, hand_over, running, skip_without
from tests.cluster.programs import argo_crds, node_programs, programs
from tests.cluster.waiting import until
from tests.kubeflow.backend import pod
from tests.kubeflow.backend.backend import build_programs
from tests.kubeflow.backend.metadata_service import MetadataService
from tests.kubeflow.custom_resources import (
    ENVOY_GATEWAY,
    GATEWAY_API,
    KSERVE,
    TRAINER,
    TRAINING_OPERATOR,
    crd_file,
)
from tests.kubeflow.manifests import MANIFESTS
from tests.kubeflow.test_retries import OF_KFP
from tests.s3.server import S3Server, build_server

_CRDS = (
    (KSERVE, "serving.kserve.io_inferenceservices.yaml"),
    (TRAINER, "trainer.kubeflow.org_trainingruntimes.yaml"),
    (TRAINER, "trainer.kubeflow.org_trainjobs.yaml"),
    (TRAINING_OPERATOR, "kubeflow.org_tfjobs.yaml"),
    (GATEWAY_API, "gateway.networking.k8s.io_gateways.yaml"),
    (GATEWAY_API, "gateway.networking.k8s.io_httproutes.yaml"),
    (GATEWAY_API, "gateway.networking.k8s.io_grpcroutes.yaml"),
    (ENVOY_GATEWAY, "gateway.envoyproxy.io_securitypolicies.yaml"),
)


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder of the control plane's programs."""
    return programs()


@pytest.fixture(scope="session")
def cluster(
    built: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ControlPlane]:
    """A control plane with the CRDs, and the namespace `kubeflow` under `restricted`."""
    began = time.monotonic()
    with ControlPlane(built, tmp_path_factory.mktemp("cluster")) as cluster:
        started = time.monotonic() - began
        crds = [argo_crds() / each.name for each in argo_crds().glob("argoproj.io_*.yaml")]
        crds += [crd_file(source, file) for source, file in _CRDS]
        files = [word for path in crds for word in ("-f", str(path))]
        cluster.asked("apply", "--server-side", *files)
        cluster.asked("wait", "--for=condition=established", "--timeout=600s", *files)
        modes = ("enforce", "warn")
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}
        cluster.asked(
            "apply", "-f", "-",
            given=dumped(
                [
                    {
                        "apiVersion": "v1",
                        "kind": "Namespace",
                        "metadata": {"name": "kubeflow", "labels": labels},
                    }
                ]
            ),
        )  # fmt: skip
        yield cluster
        peaks = ", ".join(f"{name} {mib}" for name, mib in cluster.memory_mib().items())
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\nready after {started:.0f} s; most memory in MiB: {peaks}")


@pytest.fixture(scope="session")
def node(
    cluster: ControlPlane, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """The one node, whose pods see the claim's volume."""
    folder = tmp_path_factory.mktemp("node")
    if not pod.can_run(folder / "probe"):
        pytest.skip("this machine gives no mount namespaces (unshare)")
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "workspace"},
        "spec": {
            "capacity": {"storage": "50Gi"},
            "accessModes": ["ReadWriteMany"],
            "hostPath": {"path": str(tmp_path_factory.mktemp("workspace"))},
        },
    }
    cluster.asked("apply", "-f", "-", given=dumped([volume]))
    path = (Path(sys.executable).parent, built)
    with Node(cluster.api(), ("127.0.0.1", cluster.port), folder, path=path) as node:
        yield node


@pytest.fixture(scope="session")
def nodes(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Nodes]:
    """Another cluster, whose nodes are kubelets."""
    skip_without()
    built = request.getfixturevalue("built")  # after that: it may take half an hour
    of_nodes = node_programs(built)
    began = time.monotonic()
    with running(built, of_nodes, tmp_path_factory.mktemp("nodes")) as nodes:
        started = time.monotonic() - began
        yield nodes
        told = {"control plane": nodes.cluster.memory_mib()}
        told |= {node.name: node.memory_mib() for node in nodes.all}
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\nnodes ready after {started:.0f} s; most memory in MiB: {told}")


@pytest.fixture(scope="session")
def manifests(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifests with the image that the nodes have, as the README's step 2 names it."""
    copy = shutil.copytree(MANIFESTS, tmp_path_factory.mktemp("checkout") / "kubeflow/manifests")
    file = copy / "settings/kustomization.yaml"
    lines = file.read_text().splitlines()
    (name,) = (n for n, line in enumerate(lines) if "newName: " in line)
    lines[name : name + 2] = [f"    newName: {REPOSITORY}", f"    digest: {nodes.digest}"]
    file.write_text("\n".join(lines))
    return copy


@pytest.fixture(scope="session")
def without_a_model(nodes: Nodes, manifests: Path) -> list[str]:
    """Applies the overlay, and returns what the kubelets say of servers that have no model."""
    nodes.cluster.asked("apply", "-k", manifests / "overlays/cpu")
    said: list[str] = []

    def refused() -> bool:
        fields = "reason=Unhealthy,involvedObject.kind=Pod"
        found = json.loads(
            nodes.cluster.asked("get", "events", "--field-selector", fields, "-o", "json")
        )
        said[:] = [each["message"] for each in found["items"]]
        return bool(said)

    until(refused, "a kubelet finds a server without a model not started", 600)
    return said


@pytest.fixture(scope="session")
def serving(nodes: Nodes, without_a_model: list[str], saved_model: Path) -> str:
    """The address of the model servers' Service, whose pods have a model and are ready."""
    base_path = nodes.workspace / "serving" / "signs"
    shutil.copytree(saved_model, base_path / "1")
    hand_over(nodes.workspace)
    nodes.cluster.asked("rollout", "status", "--timeout=15m", "deployment/signs-serving")
    service = nodes.cluster.get("service", "signs-serving")
    return f"{service['spec']['clusterIP']}:8500"


@pytest.fixture
def claim(cluster: ControlPlane, node: Node) -> Path:
    """The folder behind the claim, which is applied and bound."""
    cluster.asked("apply", "--server-side", "--force-conflicts", "-k", MANIFESTS / "base")
    volume = cluster.get("pv", "workspace")
    if volume["status"]["phase"] == "Released":  # by a test that has deleted the claim
        cluster.asked("patch", "pv", "workspace", "-p", '{"spec": {"claimRef": null}}')
    cluster.asked("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/signs-workspace")
    return Path(volume["spec"]["hostPath"]["path"])


@pytest.fixture(scope="session")
def kfp_programs(built: Path) -> Path:
    """KFP's compiler, driver and launcher (2.0.5), and an S3 server."""
    folder = built.parent / f"{built.name}-kfp"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=built.parent) as name:
            unfinished = Path(name) / "bin"
            unfinished.mkdir()
            build_server(unfinished)
            build_programs(unfinished).rename(folder)
    return folder


@pytest.fixture
def argo(
    cluster: ControlPlane, kfp_programs: Path, node: Node, claim: Path, tmp_path: Path
) -> Iterator[Argo]:
    """The controller with KFP 2.17's settings; what KFP's driver and launcher ask is there."""
    store = S3Server(kfp_programs / "versitygw", tmp_path / "store", region="minio")
    (store.buckets / "mlpipeline").mkdir()
    with MetadataService() as metadata, store:
        where = "127.0.0.1"
        node.environment |= {
            "PATH": f"{kfp_programs}:{node.environment['PATH']}",
            "METADATA_GRPC_SERVICE_SERVICE_HOST": where,
            "METADATA_GRPC_SERVICE_SERVICE_PORT": str(metadata.port),
            "METADATA_GRPC_SERVICE_HOST": where,
            "METADATA_GRPC_SERVICE_PORT": str(metadata.port),
            "ML_PIPELINE_SERVICE_HOST": where,
            "ML_PIPELINE_SERVICE_PORT_GRPC": str(metadata.port),
            "MINIO_SERVICE_SERVICE_HOST": where,
            "MINIO_SERVICE_SERVICE_PORT": str(store.port),
        }
        provider = {
            "endpoint": f"{where}:{store.port}",
            "region": "us-east-1",
            "disableSSL": True,
            "credentials": {
                "fromEnv": False,
                "secretRef": {
                    "secretName": "mlpipeline-minio-artifact",
                    "accessKeyKey": "accesskey",
                    "secretKeyKey": "secretkey",
                },
            },
        }
        installed = [
            _named(
                "ConfigMap",
                "kfp-launcher",
                data={"providers": json.dumps({"minio": {"default": provider}})},
            ),
            _named(
                "Secret",
                "mlpipeline-minio-artifact",
                stringData={"accesskey": store.access_key, "secretkey": store.secret_key},
            ),
        ]
        cluster.asked("apply", "-f", "-", given=dumped(installed))
        # KFP's own namespace is not restricted, and KFP 2.0.5's pods could not run in such a one.
        level = "pod-security.kubernetes.io/enforce"
        cluster.asked("label", "namespace", "kubeflow", f"{level}=baseline", "--overwrite")
        with Argo(cluster, kfp_programs / "compiler", OF_KFP) as argo:
            yield argo
        cluster.asked("label", "namespace", "kubeflow", f"{level}=restricted", "--overwrite")


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    """MariaDB."""
    with Database() as database:
        yield database


@pytest.fixture
def kfp_server(
    database: Database,
    argo: Argo,
    cluster: ControlPlane,
    node: Node,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[KfpServer]:
    """KFP's API server beside Argo's controller, without anything of a test before."""
    programs = kfp_server_programs()
    database.empty()
    archive = tmp_path / "archive.yaml"
    port = node.environment["MINIO_SERVICE_SERVICE_PORT"]
    archive.write_text(yaml.safe_dump(archive_of_logs(f"127.0.0.1:{port}")))
    argo.patch(archive)
    with KfpServer(cluster, node, database, programs) as server:
        yield server
        peaks = ", ".join(f"{name} {mib}" for name, mib in server.memory_mib().items())
    # What was patched is not what `argo` applies: it would stay for the tests after this one.
    archive.write_text(yaml.safe_dump({"data": dict.fromkeys(archive_of_logs("")["data"])}))
    argo.patch(archive)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nmost memory in MiB: {peaks}")


def _named(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "kubeflow"}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}
