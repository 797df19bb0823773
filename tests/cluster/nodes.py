"""A cluster of two real nodes, with kube-proxy on each, and the images of this project.

network.py -> control_plane.py -> kubelet.py twice -> images, the claim's volume
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from signs import durable
from tests.cluster.control_plane import ControlPlane, dumped
from tests.cluster.kubelet import GROUPS, KubeletNode, remove_group
from tests.cluster.network import Network
from tests.cluster.waiting import until

COUNT = 2
USER = 10001  # whom the image of kubeflow/Dockerfile runs as
REPOSITORY = "registry.example.com/me/signs"
# As the Deployment calls it. It holds this repository's server, which keeps TensorFlow Serving's
# contract; unlike that, it listens on loopback alone where nobody says otherwise.
SERVING = "docker.io/tensorflow/serving:2.19.1"
_LOCK = Path(tempfile.gettempdir()) / "signs-nodes.lock"  # the network is the machine's
_SCRIPTS = {
    "opt/image/signs": b'#!/bin/sh\nexec /opt/signs/bin/python -m pipeline.commands "$@"\n',
    "opt/image/tensorflow_model_server": (
        b'#!/bin/sh\nexec /opt/signs/bin/python -m model_server --host=0.0.0.0 "$@"\n'
    ),
}
# That of kubeflow/Dockerfile.
_CONFIG = {
    "Env": [
        "HOME=/tmp",
        "PATH=/opt/image:/opt/signs/bin:/usr/local/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE=1",
        "PYTHONPATH=/app",
        "PYTHONUNBUFFERED=1",
        "USER=signs",
    ],
    "WorkingDir": "/app",
    "User": f"{USER}:{USER}",
    "Cmd": ["signs", "--help"],
}


@dataclass(frozen=True)
class Nodes:
    """The cluster while it runs.

    Attributes:
        cluster: its control plane.
        all: its nodes.
        digest: of the image `signs`.
        workspace: the folder behind the claim.
    """

    cluster: ControlPlane
    all: list[KubeletNode]
    digest: str
    workspace: Path


def missing() -> str | None:
    """Why this machine cannot run a kubelet, or None."""
    if os.geteuid():
        return "a kubelet takes root"
    if lacking := [
        name
        for name in ("unshare", "nsenter", "setpriv", "ip", "iptables")
        if not shutil.which(name)
    ]:
        return f"a node takes {', '.join(lacking)}"
    if not (GROUPS / "memory").is_dir():
        return "a node is only made with control groups of version 1"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "containerd takes overlayfs"
    return None


@contextmanager
def running(built: Path, programs: Path, folder: Path) -> Iterator[Nodes]:
    """Starts it all.

    Args:
        built: the control plane's programs.
        programs: those of a node.
        folder: an empty folder.
    """
    names = [f"node-{number}" for number in range(1, COUNT + 1)]
    with ExitStack() as stack:
        stack.enter_context(durable.lock(_LOCK, timeout_s=0))
        for left in GROUPS.glob("*/signs-*-node-*"):  # by tests that were killed
            remove_group(left)
        network = stack.enter_context(Network())
        for each in ("cluster", "workspace", *names):
            (folder / each).mkdir()
        hand_over(folder / "workspace")
        cluster = stack.enter_context(
            ControlPlane(built, folder / "cluster", address=network.address, nodes=names)
        )
        nodes = [
            stack.enter_context(
                KubeletNode(
                    cluster, network, programs, folder / name, number=number, count=COUNT
                )
            )
            for number, name in enumerate(names, 1)
        ]  # fmt: skip
        (digest,) = {
            node.import_image([SERVING, f"{REPOSITORY}@"], _SCRIPTS, _CONFIG) for node in nodes
        }
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "workspace"},
            "spec": {
                "capacity": {"storage": "50Gi"},
                "accessModes": ["ReadWriteMany"],
                "hostPath": {"path": str(folder / "workspace")},
            },
        }
        space = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "kubeflow", "labels": labels},
        }
        cluster.asked("apply", "-f", "-", given=dumped([space, volume]))
        account = ("get", "serviceaccount", "default")  # which pods take that name none
        until(lambda: cluster.kubectl(*account).returncode == 0, "the namespace has its account")
        cluster.asked("wait", "--for=condition=Ready", "--timeout=120s", "node", *names)
        yield Nodes(cluster, nodes, digest, folder / "workspace")


def skip_without() -> None:
    """Skips the test where this machine cannot run a kubelet."""
    if why := missing():
        pytest.skip(why)


def hand_over(folder: Path) -> None:
    """Gives the folder, with all in it, to whom pods run as."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER)
