"""What a namespace gives a step's pod: volumes, secrets, environment.

    platform document of the step + Cluster -> Pod (driver/k8s.go, extendPodSpecPatch)

Where something is missing, the error says what `kubectl describe pod` would, since on a cluster
the pod waits for it without a word in the run's log.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from kubeflow.compiling.pipeline_file import Task
from kubeflow.object_store import MOUNTS_VARIABLE
from kubeflow.standin.mounts import Mounts
from pipeline.running.checkout import ROOT
from signs.process import killed_with_parent

_PYTHONS = ("python", "python3")


class PodError(RuntimeError):
    """The pod would never start; retries do not help."""


@dataclass(frozen=True)
class Container:
    """The container of one attempt: what a cluster would start."""

    task: Task
    command: Sequence[str]  # as in the container: its paths, its Python
    environment: Mapping[str, str]  # beside the image's
    mounts: Mounts
    folder: Path  # fresh, for this attempt
    log: BinaryIO  # open, for what the command prints


def start_here(container: Container) -> subprocess.Popen[bytes]:
    """Starts the command as a process of this machine, which stands for the container."""
    command = [container.mounts.rewrite(part) for part in container.command]
    if command[0] in _PYTHONS:
        command = [sys.executable, *command[1:]]
    temporary = container.folder / "tmp"
    temporary.mkdir()
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=container.log,
        stderr=subprocess.STDOUT,
        # A pod that ends takes all its processes with it; and so does the stand-in.
        start_new_session=True,
        preexec_fn=killed_with_parent,
        env={
            **os.environ,
            **container.environment,
            MOUNTS_VARIABLE: str(container.mounts.root),
            "TMPDIR": str(temporary),
        },
    )


@dataclass(frozen=True)
class Cluster:
    """A namespace: its claims and secrets, and what lies in the image."""

    claims: Mapping[str, Path]  # by name, the folder that stands for the volume
    secrets: Path  # `{name}/{key}` are files with the values, as a mounted secret is
    known_secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    image: Mapping[str, Path] = field(default_factory=dict)  # by path in the image
    # Of its Argo. KFP 2.17 installs OnError: then nothing is tried again here, where no pod is
    # deleted. kubeflow/manifests/kfp/retries.yaml makes it Always.
    retry_policy: Literal["Always", "OnFailure", "OnError"] = "Always"
    # What runs a step's container: a process whose end and exit code are the container's.
    start: Callable[[Container], "subprocess.Popen[bytes]"] = start_here


@dataclass(frozen=True)
class Pod:
    """What one attempt of a step runs in."""

    mounts: Mounts
    environment: dict[str, str]


def claim_names(task: Task) -> list[str]:
    """The claims that a step mounts, in the order of its mounts."""
    return [mount.constant for mount in task.platform.pvc_mount]


def make_pod(task: Task, cluster: Cluster, folder: Path) -> Pod:
    """Prepares what the step's container is given.

    Args:
        task: the step.
        cluster: where it runs.
        folder: fresh, for this attempt.

    Raises:
        PodError: a claim, a secret or a key of it does not exist.
    """
    places = dict(cluster.image)
    for mount in task.platform.pvc_mount:
        volume = cluster.claims.get(mount.constant)
        if volume is None or not volume.is_dir():
            raise PodError(
                f'FailedScheduling: persistentvolumeclaim "{mount.constant}" not found. '
                f"The stand-in has: {', '.join(sorted(cluster.claims)) or 'none'}"
            )
        places[mount.mount_path] = volume
    for secret in task.platform.secret_as_volume:
        folder_of_secret = cluster.secrets / secret.secret_name
        if not folder_of_secret.is_dir():
            raise PodError(
                f'FailedMount: secret "{secret.secret_name}" not found. For the stand-in, make the '
                f"folder {folder_of_secret}, with a file for each key"
            )
        places[secret.mount_path] = folder_of_secret
    environment = {}
    for wanted in task.platform.secret_as_env:
        name = wanted.secret_name
        keys = _secret(cluster, name)
        for mapping in wanted.key_to_env:
            if keys is not None and mapping.secret_key in keys:
                environment[mapping.env_var] = keys[mapping.secret_key]
            elif not wanted.optional:
                missing = (
                    f'secret "{name}" not found'
                    if keys is None
                    else f"couldn't find key {mapping.secret_key} in Secret {name}"
                )
                raise PodError(
                    f"CreateContainerConfigError: {missing}. For the stand-in, write the value "
                    f"into the file {cluster.secrets / name / mapping.secret_key}"
                )
    return Pod(Mounts(folder / "mounts", places), environment)


def _secret(cluster: Cluster, name: str) -> Mapping[str, str] | None:
    folder = cluster.secrets / name
    if not folder.is_dir():
        return cluster.known_secrets.get(name)
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
