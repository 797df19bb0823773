"""KFP's API server with what belongs to it, as pods that KFP's own manifests describe.

signs submit -> API server (database, object store) -> a Workflow -> Argo's controller -> pods
                     ^-- persistence agent (how far the Workflow is) <-'
             -> API server -> a ScheduledWorkflow -> its controller -> Workflows

All of KFP 2.0.5, the newest that can be had as a module: three programs, and of its installation
their Deployments, accounts, roles, settings, and the CRD of recurring runs. Told anew are the
programs and ports, for there is no image, and many pods share the loopback.
"""

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests
import yaml

from model_server.process import free_port
from tests import ROOT
from tests.cluster.control_plane import ControlPlane, dumped, peak_mib
from tests.cluster.database import Database
from tests.cluster.node import Node
from tests.cluster.waiting import until
from tests.golang import build, go
from tests.kubeflow.backend.backend import COMPILER
from tests.kubeflow.manifests import build as built_manifests

_MODULE = "github.com/kubeflow/pipelines"
_SOURCES = f"{_MODULE}/backend/src"
_PACKAGES = (
    f"{_SOURCES}/apiserver",
    f"{_SOURCES}/agent/persistence",
    f"{_SOURCES}/crd/controller/scheduledworkflow",
)
_SERVER, _AGENT, _RECURRING = (
    "ml-pipeline", "ml-pipeline-persistenceagent", "ml-pipeline-scheduledworkflow",
)  # fmt: skip
_FATAL = re.compile(r"F\d{4} ")  # as a line of its log begins, before it ends itself
_CONFIG = "ml-pipeline-config"
_CRD = "scheduledworkflows.kubeflow.org"
# The API server listens at what its flag says, and asks itself at `localhost` and that: both are
# made names of the loopback, so that nobody else is let in.
_LOOPBACK = "rpc"

Object = dict[str, Any]


class KfpServer:
    """Serves while it is entered.

    Args:
        cluster: with Argo's controller, its node and an object store.
        node: of the cluster.
        database: a server without KFP's data.
        programs: the folder of the programs.
    """

    def __init__(
        self, cluster: ControlPlane, node: Node, database: Database, programs: Path
    ) -> None:
        self._cluster, self._node, self._database = cluster, node, database
        self._programs = programs
        self.http_port, self.rpc_port = free_port(), free_port()

    def __enter__(self) -> "KfpServer":
        self._node.environment |= {
            "ML_PIPELINE_SERVICE_HOST": "127.0.0.1",
            "ML_PIPELINE_SERVICE_PORT_GRPC": str(self.rpc_port),
            # It wants to know of that server, and asks it when somebody wants to see a picture.
            "ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_HOST": "127.0.0.1",
            "ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_PORT": "1",
        }
        self._cluster.asked("apply", "--server-side", "-f", "-", given=dumped(self._objects()))
        try:
            until(self._answers, "KFP's API server answers", 180)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def address(self) -> str:
        """Of its HTTP."""
        return f"http://127.0.0.1:{self.http_port}"

    def get(self, path: str) -> Any:
        """What it answers."""
        answer = requests.get(f"{self.address}/apis/v2beta1/{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str) -> None:
        """Asks it to do something."""
        requests.post(f"{self.address}/apis/v2beta1/{path}", timeout=30).raise_for_status()

    def restart(self) -> None:
        """Kills the API server, and waits for its next pod."""
        words = ("--selector", f"app={_SERVER}", "--force", "--grace-period=0")
        self._cluster.asked("delete", "pods", *words)
        until(lambda: not self._answers(), "the API server is gone")
        until(self._answers, "KFP's API server answers", 180)

    def said(self, name: str = _SERVER) -> str:
        """The log of one of the three."""
        pods = self._cluster.asked("get", "pods", "-l", f"app={name}", "-o", "name").split()
        container = "ml-pipeline-api-server" if name == _SERVER else name
        return "".join(self._node.log(pod.removeprefix("pod/"), container) for pod in pods)

    def memory_mib(self) -> Mapping[str, int]:
        """The peak resident memory of each program so far."""
        peaks = {"mariadbd": peak_mib(self._database.pid)}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                program = (process / "exe").readlink()  # below the root of its pod
                if program.parent.name == self._programs.name:
                    peaks[program.name] = peak_mib(int(process.name))
        return peaks

    def _answers(self) -> bool:
        fatal = [line for line in self.said().splitlines() if _FATAL.match(line)]
        assert not fatal, fatal[0]
        with contextlib.suppress(requests.RequestException):
            # Its `healthz` answers while its RPC, which answers all else, is not up.
            self.get("runs")
            return True
        return False

    def _stop(self) -> None:
        self._cluster.asked("delete", "scheduledworkflows", "--all", "--wait=false")
        for name in (_RECURRING, _AGENT, _SERVER):
            self._cluster.asked("delete", "deployment", name, "--cascade=foreground")

    def _objects(self) -> Iterator[Object]:
        sources = Path(go(COMPILER, "list", "-m", "-f", "{{.Dir}}", _MODULE).strip())
        manifests = sources / "manifests/kustomize"
        for each in built_manifests(manifests / "cluster-scoped-resources"):
            if each["metadata"]["name"] == _CRD:
                yield each
        for each in built_manifests(manifests / "env/platform-agnostic"):
            match each["kind"], each["metadata"]["name"]:
                case "ConfigMap", "pipeline-install-config":
                    port = str(self._database.port)
                    each["data"] |= {"mysqlHost": "127.0.0.1", "mysqlPort": port}
                    yield each
                case "Secret", "mysql-secret":
                    each["stringData"] = {
                        "username": self._database.user, "password": self._database.password,
                    }  # fmt: skip
                    yield each
                case "Deployment", name if name in (_SERVER, _AGENT, _RECURRING):
                    self._start_here(each)
                    yield each
                case "ServiceAccount" | "Role" | "RoleBinding", name if (
                    name == _SERVER or name.startswith((_AGENT, _RECURRING))
                ):
                    yield each
        config = (sources / "backend/src/apiserver/config/config.json").read_text()
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": _CONFIG, "namespace": "kubeflow"},
            "data": {"config.json": config, "samples.json": "[]"},
        }

    def _start_here(self, deployment: Object) -> None:
        """Names the program of a Deployment, as the image's Dockerfile does, and free ports."""
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        common = ["--logtostderr=true", "--namespace=kubeflow"]
        match deployment["metadata"]["name"]:
            case name if name == _SERVER:
                words = [
                    "apiserver", "--config=/config", "--sampleconfig=/config/samples.json",
                    "--logtostderr=true", f"--httpPortFlag=127.0.0.1:{self.http_port}",
                    f"--rpcPortFlag={_LOOPBACK}:{self.rpc_port}",
                ]  # fmt: skip
                pod["hostAliases"] = [
                    {"ip": "127.0.0.1", "hostnames": [_LOOPBACK, f"localhost{_LOOPBACK}"]}
                ]
                pod["volumes"] = [{"name": "config", "configMap": {"name": _CONFIG}}]
                container["volumeMounts"] = [{"name": "config", "mountPath": "/config"}]
            case name if name == _AGENT:
                words = [
                    "persistence", *common, "--mlPipelineAPIServerName=127.0.0.1",
                    f"--mlPipelineServiceHttpPort={self.http_port}",
                    f"--mlPipelineServiceGRPCPort={self.rpc_port}",
                ]  # fmt: skip
            case _:
                words = ["scheduledworkflow", *common]
        program, *arguments = words
        container["command"] = [str(self._programs / program)]
        container["args"] = arguments


def kfp_server_programs() -> Path:
    """The folder of the three programs, in build/cluster, built once for each of KFP's versions.

    Skips the test where they cannot be built.
    """
    asked = (COMPILER / "go.mod").read_bytes() + " ".join(_PACKAGES).encode()
    name = f"{hashlib.sha256(asked).hexdigest()[:16]}-kfp-server"
    folder = ROOT / "build" / "cluster" / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            build(COMPILER, Path(unfinished) / "bin", *_PACKAGES)
            (Path(unfinished) / "bin").rename(folder)
    return folder


def archive_of_logs(store: str) -> Object:
    """Lets Argo's controller keep the pods' logs where the API server looks for them.

    That version reads no pod's log itself where it serves one namespace: it asks for pods of none
    (`ReadLog` in backend/src/apiserver/resource/resource_manager.go).
    """
    secret = {"name": "mlpipeline-minio-artifact"}
    repository = {
        "archiveLogs": True,
        "s3": {
            "endpoint": store,
            "bucket": "mlpipeline",
            "insecure": True,
            # Its ARCHIVE_CONFIG_LOG_PATH_PREFIX, then as `GetLogObjectKey` has it.
            "keyFormat": "artifacts/{{workflow.name}}/{{pod.name}}",
            "accessKeySecret": {**secret, "key": "accesskey"},
            "secretKeySecret": {**secret, "key": "secretkey"},
        },
    }
    return {"data": {"artifactRepository": yaml.safe_dump(repository)}}
