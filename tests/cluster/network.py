"""The network of the nodes: a bridge of this machine, and a network namespace for each node.

    this machine 10.213.0.1 - bridge - 10.213.0.11 node-1 - bridge - its pods 10.213.1.0/24
                                     - 10.213.0.12 node-2 - bridge - its pods 10.213.2.0/24

All see each other, and nothing leads further. What a node does to its own namespace (bridges,
packet filters) is gone with it, and never this machine's.
"""

import subprocess
from pathlib import Path

from tests.cluster.control_plane import SERVICES

_BRIDGE = "signs-nodes"
_PREFIX = "10.213"
ALL = f"{_PREFIX}.0.0/16"


class Network:
    """There while it is entered, one at a time on a machine: one left behind gives way."""

    address = f"{_PREFIX}.0.1"  # this machine's, as nodes and pods see it

    def __enter__(self) -> "Network":
        if Path(f"/sys/class/net/{_BRIDGE}").exists():
            _ip("link", "delete", _BRIDGE)
        _ip("link", "add", _BRIDGE, "type", "bridge")
        try:
            _ip("address", "add", f"{self.address}/24", "dev", _BRIDGE)
            _ip("link", "set", _BRIDGE, "up")
        except BaseException:
            _ip("link", "delete", _BRIDGE)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _ip("link", "delete", _BRIDGE)

    def join(self, number: int, pid: int, count: int) -> None:
        """Joins a node.

        Args:
            number: 1 is the first.
            pid: of a process in its network namespace.
            count: how many nodes there will be.
        """
        inside = f"{_BRIDGE[:9]}-{number}i"
        outside = f"{_BRIDGE[:9]}-{number}"
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside)
        _ip("link", "set", outside, "master", _BRIDGE, "up")
        _ip("link", "set", inside, "netns", str(pid), "name", "eth0")
        there = ("nsenter", "--target", str(pid), "--net")
        _ip("link", "set", "lo", "up", before=there)
        _ip("address", "add", f"{node_address(number)}/24", "dev", "eth0", before=there)
        _ip("link", "set", "eth0", "up", before=there)
        _ip("route", "add", "default", "via", self.address, before=there)
        for other in range(1, count + 1):
            if other != number:
                way = (pod_network(other), "via", node_address(other))
                _ip("route", "add", *way, before=there)
        _ip("route", "add", pod_network(number), "via", node_address(number))
        if number == 1:  # a node takes this machine to services, as kube-proxy has it
            _ip("route", "add", SERVICES, "via", node_address(number))


def node_address(number: int) -> str:
    return f"{_PREFIX}.0.{10 + number}"


def pod_network(number: int) -> str:
    """The addresses of a node's pods."""
    return f"{_PREFIX}.{number}.0/24"


def _ip(*words: str, before: tuple[str, ...] = ()) -> None:
    ran = subprocess.run([*before, "ip", *words], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, f"ip {' '.join(words)}: {ran.stderr.strip()}"
