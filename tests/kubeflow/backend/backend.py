"""A cluster without Kubernetes: KFP's own compiler, driver and launcher run a pipeline's steps.

pipeline.yaml -> compiler (what the API server does with it) -> Workflow -> argo.py -> driver,
launcher -> the steps' commands, with this checkout in the place of the image.

The programs are KFP's: `compiler` (main.go beside this file, or another that takes the same
arguments), and `driver` and `launcher-v2` of the same version, which KFP's release images
`kfp-driver` and `kfp-launcher` have in `/bin`. The object store is a real S3 server (tests/s3).
Not here: Kubernetes's scheduler, kubelet and admission, Argo's controller, KFP's web server and
database.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests import ROOT
from tests.golang import build
from tests.kubeflow.backend import pod
from tests.kubeflow.backend.argo import Argo, Outcome, with_variables
from tests.kubeflow.backend.cluster_service import KubernetesService
from tests.kubeflow.backend.metadata_service import MetadataService
from tests.s3.server import S3Server

COMPILER = Path(__file__).parent / "compiler"  # its go.mod names all programs of KFP
_EMPTY = ("/tmp", "/minio", "/s3", "/gcs", "/.cache", "/.local", "/.config")
_STORE_SECRET = "secrets/mlpipeline-minio-artifact"


class RefusedError(Exception):
    """KFP's API server or argo compiler does not take the pipeline; the text is theirs."""


class Backend:
    """Serves while it is entered.

    Args:
        programs: folder with `compiler`, `driver`, `launcher-v2` and `versitygw`.
        folder: an empty folder for everything that is written.
        claims: persistent volume claim -> its folder.
        secrets: secret -> key -> value, for the steps' environment.
        image: what a step's image has: folder as the step sees it -> folder of this machine.
        working_directory: the image's.
    """

    def __init__(
        self,
        programs: Path,
        folder: Path,
        *,
        claims: Mapping[str, Path] | None = None,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        image: Mapping[str, Path] | None = None,
        working_directory: str = "/",
    ) -> None:
        self._programs, self._folder = programs, folder
        self._claims, self._secrets = claims or {}, secrets or {}
        self._image, self._working_directory = image or {}, working_directory
        self.metadata = MetadataService()
        # The launcher signs for this region.
        self.s3 = S3Server(programs / "versitygw", folder / "s3", region="minio")
        self.store = self.s3.buckets
        (self.store / "mlpipeline").mkdir()
        self._cluster: dict[str, dict[str, str]] = {
            "configmaps/kfp-launcher": {"providers": json.dumps(self._providers())},
        }
        self.give_keys(self.s3.access_key, self.s3.secret_key)
        self._kubernetes = KubernetesService(folder / "account", self._cluster)
        (folder / "account/token").write_text("token")
        (folder / "account/namespace").write_text("kubeflow")
        (folder / "launcher").mkdir()
        shutil.copy(programs / "launcher-v2", folder / "launcher/launch")
        # KFP before 2.1 starts the launcher by Argo's own program.
        (folder / "argo").mkdir()
        (folder / "argo/argoexec").write_text('#!/bin/sh\nshift 2; exec "$@"\n')
        (folder / "argo/argoexec").chmod(0o755)
        self._pods = self._runs = 0
        self._stack = ExitStack()

    def __enter__(self) -> "Backend":
        for service in (self.metadata, self.s3, self._kubernetes):
            self._stack.enter_context(service)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def give_keys(self, access_key: str, secret_key: str) -> None:
        """Writes keys of the object store into the secret that the launcher reads."""
        keys = {"accesskey": access_key, "secretkey": secret_key}
        self._cluster[_STORE_SECRET] = {
            name: base64.b64encode(key.encode()).decode() for name, key in keys.items()
        }

    def compile(self, pipeline: Path, parameters: Mapping[str, Any], root: str) -> dict[str, Any]:
        """The Workflow that KFP makes of a new run of a pipeline.

        Raises:
            RefusedError: KFP does not take it.
        """
        self._runs += 1
        program = self._programs / "compiler"
        return compile_workflow(program, pipeline, parameters, root, f"run-{self._runs}")

    def run(self, workflow: Mapping[str, Any], name: str) -> Outcome:
        """Runs a Workflow; `name` is of its folder."""
        return Argo(workflow, self._run_driver, self._run_pod, self._folder / name).run()

    def _providers(self) -> dict[str, Any]:
        default = {
            "endpoint": f"127.0.0.1:{self.s3.port}",
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
        return {"minio": {"default": default}}

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": "/tmp",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self._kubernetes.port),
            # KFP before 2.4 has no other way to be told.
            "METADATA_GRPC_SERVICE_SERVICE_HOST": "127.0.0.1",
            "METADATA_GRPC_SERVICE_SERVICE_PORT": str(self.metadata.port),
            "METADATA_GRPC_SERVICE_HOST": "127.0.0.1",
            "METADATA_GRPC_SERVICE_PORT": str(self.metadata.port),
            "ML_PIPELINE_SERVICE_HOST": "127.0.0.1",
            "ML_PIPELINE_SERVICE_PORT_GRPC": str(self.metadata.port),
            "MINIO_SERVICE_SERVICE_HOST": "127.0.0.1",
            "MINIO_SERVICE_SERVICE_PORT": str(self.s3.port),
        }

    def _here(self, arguments: list[str]) -> list[str]:
        """The driver's arguments with our services' addresses; it hands them to the launcher."""
        addresses = {
            "--mlmd_server_address": "127.0.0.1",
            "--mlmd_server_port": str(self.metadata.port),
            "--ml_pipeline_server_address": "127.0.0.1",
            "--ml_pipeline_server_port": str(self.metadata.port),
        }
        return [
            addresses.get(before, word)
            for before, word in zip(["", *arguments], arguments, strict=False)
        ]

    def _start(
        self, command: list[str], environment: dict[str, str], mounts: dict[str, Path], log: Path,
        working_directory: str,
    ) -> int:  # fmt: skip
        self._pods += 1
        return pod.run(
            command,
            mounts={
                "/run/secrets/kubernetes.io/serviceaccount": self._folder / "account",
                "/run/argo": self._folder / "argo",
                **mounts,
            },
            environment=environment,
            folder=working_directory,
            scratch=self._folder / f"pods/{self._pods}/root",
            log=log,
        )

    def _run_driver(self, arguments: list[str], log: Path) -> int:
        command = [str(self._programs / "driver"), *self._here(arguments)]
        return self._start(command, self._environment(), {}, log, "/")

    def _run_pod(self, patch: dict[str, Any], log: Path) -> int:
        container = patch["containers"][0]
        environment = self._environment() | self._variables(container["env"])
        command = with_variables([*container["command"], *container["args"]], environment)
        mounts = self._pod_mounts(patch)
        return self._start(command, environment, mounts, log, self._working_directory)

    def _variables(self, given: list[dict[str, Any]]) -> dict[str, str]:
        """The environment that a container asks for."""
        fields = {"metadata.name": f"pod-{self._pods}", "metadata.uid": str(uuid.uuid4())}
        variables = {}
        for each in given:
            source = each.get("valueFrom", {})
            if "fieldRef" in source:
                variables[each["name"]] = fields[source["fieldRef"]["fieldPath"]]
            elif "secretKeyRef" in source:
                secret = source["secretKeyRef"]
                values = self._secrets.get(secret["name"], {})
                if secret["key"] in values:
                    variables[each["name"]] = values[secret["key"]]
                elif not secret.get("optional"):
                    # The pod waits for it, for ever.
                    raise RuntimeError(f"CreateContainerConfigError: no secret {secret['name']}")
            else:
                variables[each["name"]] = each.get("value", "")
        return variables

    def _pod_mounts(self, patch: dict[str, Any]) -> dict[str, Path]:
        scratch = self._folder / f"pods/{self._pods + 1}"
        mounts = {target: scratch / f"empty{target}" for target in _EMPTY}
        mounts[str(ROOT)] = ROOT  # Python is in it, and it may lie below /tmp
        volumes = {each["name"]: each for each in patch.get("volumes", [])}
        for each in patch["containers"][0].get("volumeMounts", []):
            claim = volumes[each["name"]].get("persistentVolumeClaim")
            empty = scratch / f"empty/{each['name']}"
            mounts[each["mountPath"]] = self._claims[claim["claimName"]] if claim else empty
        for source in mounts.values():
            source.mkdir(parents=True, exist_ok=True)
        return {**mounts, "/kfp-launcher": self._folder / "launcher", **self._image}


def build_programs(folder: Path) -> Path:
    """`compiler`, `driver` and `launcher-v2` of the newest KFP that Go's module proxy has.

    Skips the test where they cannot be built.
    """
    commands = "github.com/kubeflow/pipelines/backend/src/v2/cmd"
    packages = (".", f"{commands}/driver", f"{commands}/launcher-v2")
    build(COMPILER, folder, *packages)
    (folder / "backend").rename(folder / "compiler")
    return folder


def compile_workflow(
    compiler: Path, pipeline: Path, parameters: Mapping[str, Any], root: str, run_id: str = "run-1"
) -> dict[str, Any]:
    """The Workflow that KFP's API server and argo compiler make of a pipeline.

    Args:
        compiler: the program.
        pipeline: the compiled pipeline, one or two YAML documents.
        parameters: of the run.
        root: the pipeline root of the run.
        run_id: the run's.

    Raises:
        RefusedError: they do not take it.
    """
    result = subprocess.run(
        [compiler, pipeline, json.dumps(dict(parameters)), root, run_id],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if result.returncode:
        raise RefusedError(result.stderr.strip())
    workflow: dict[str, Any] = json.loads(result.stdout)
    return workflow
