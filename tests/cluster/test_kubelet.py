"""Kubernetes' own kubelet runs pods of this project's images, and says how they end."""

from typing import Any

import pytest

from tests.cluster.control_plane import dumped
from tests.cluster.nodes import REPOSITORY, Nodes


def test_two_kubelets_have_joined(nodes: Nodes) -> None:
    for node in nodes.all:
        told = nodes.cluster.get("node", node.name)["status"]["nodeInfo"]
        assert told["kubeletVersion"].startswith("v1.33.")
        assert told["containerRuntimeVersion"].startswith("containerd://")


@pytest.mark.parametrize(
    ("name", "script", "code", "reason"),
    [
        ("ends-well", "exit 0", 0, "Completed"),
        ("ends-badly", "echo said; exit 3", 3, "Error"),
        ("ends-for-memory", "exec tail /dev/zero", 137, "OOMKilled"),
    ],
)
def test_how_a_container_ends(nodes: Nodes, name: str, script: str, code: int, reason: str) -> None:
    _create(nodes, name, ["sh", "-c", script])
    nodes.cluster.asked(
        "wait", "--timeout=120s", f"pod/{name}",
        "--for=jsonpath={.status.containerStatuses[0].state.terminated.exitCode}=" + str(code),
    )  # fmt: skip
    (container,) = nodes.cluster.get("pod", name)["status"]["containerStatuses"]
    assert container["state"]["terminated"]["reason"] == reason
    said = nodes.cluster.asked("logs", name)
    assert said == ("said\n" if code == 3 else "")
    nodes.cluster.asked("delete", "pod", name)


def test_a_pod_has_the_user_the_root_and_the_network_that_it_asks_for(nodes: Nodes) -> None:
    _create(nodes, "sleeps", ["sleep", "infinity"])
    nodes.cluster.asked("wait", "--for=condition=Ready", "--timeout=120s", "pod/sleeps")

    def run(script: str) -> str:
        return nodes.cluster.asked("exec", "sleeps", "--", "sh", "-c", script).strip()

    assert run("id -u") == "10001"
    assert "Read-only file system" in run("touch /x 2>&1; true")
    assert run("cat /sys/fs/cgroup/memory/memory.limit_in_bytes") == str(64 * 2**20)
    address = nodes.cluster.get("pod", "sleeps")["status"]["podIP"]
    assert address in run("ip -4 address show eth0")
    assert run("grep -c ^Seccomp:.2 /proc/self/status") == "1"
    nodes.cluster.asked("delete", "pod", "sleeps", "--grace-period=1")


def _create(nodes: Nodes, name: str, command: list[str]) -> None:
    container = {
        "name": "main",
        "image": f"{REPOSITORY}@{nodes.digest}",
        "command": command,
        "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "kubeflow"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }
    nodes.cluster.asked("apply", "-f", "-", given=dumped([pod]))
