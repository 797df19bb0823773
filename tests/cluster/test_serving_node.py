"""The model server's Deployment on two kubelets: probes, a rollout and a drain under load.

In the place of TensorFlow Serving's image is one with this repository's server (nodes.py).
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from signs.client import Client, ClientError
from tests.cluster.nodes import Nodes
from tests.cluster.waiting import until
from tests.served import BLUE, GREEN, RED

_LIMIT = "--timeout=15m"  # for machines with much else to do


def test_a_server_is_ready_once_it_has_a_model(
    nodes: Nodes, without_a_model: list[str], serving: str
) -> None:
    assert all(each.startswith("Startup probe failed") for each in without_a_model)
    pods = _pods(nodes)
    assert len(pods) == 2
    assert {each["spec"]["nodeName"] for each in pods} == {node.name for node in nodes.all}
    for pod in pods:
        (server,) = pod["status"]["containerStatuses"]
        assert (server["ready"], server["started"], server["restartCount"]) == (True, True, 0)
    with Client(serving) as client:
        answers = client.predict([RED, GREEN, BLUE])
    assert [each.class_name for each in answers] == ["red", "green", "blue"]


def test_a_server_that_has_ended_is_started_again(nodes: Nodes, serving: str) -> None:
    name = _pods(nodes)[0]["metadata"]["name"]
    nodes.cluster.kubectl("exec", name, "--", "sh", "-c", "kill 1")  # ends with the container
    until(lambda: _container(nodes, name)["restartCount"] == 1, "it is started again", 300)
    assert _container(nodes, name)["lastState"]["terminated"]["exitCode"] == 0
    until(lambda: _container(nodes, name)["ready"], "it is ready again", 600)


def test_a_restart_of_all_servers_loses_no_request(nodes: Nodes, serving: str) -> None:
    before = {each["metadata"]["uid"] for each in _pods(nodes)}
    with _load(serving) as load:
        nodes.cluster.asked("rollout", "restart", "deployment/signs-serving")
        nodes.cluster.asked("rollout", "status", _LIMIT, "deployment/signs-serving")
        until(lambda: len(_pods(nodes)) == 2, "the older pods are gone", 300)
    assert before.isdisjoint(each["metadata"]["uid"] for each in _pods(nodes))
    assert load.errors == []
    assert load.answers > 100


def test_a_drain_waits_for_the_disruption_budget_and_loses_no_request(
    nodes: Nodes, serving: str
) -> None:
    """Both servers are on one node: the second may go when the first runs elsewhere."""
    drained, other = (node.name for node in nodes.all)
    nodes.cluster.asked("cordon", other)
    for pod in _pods(nodes):
        if pod["spec"]["nodeName"] == other:
            nodes.cluster.asked("delete", "pod", pod["metadata"]["name"])
    until(lambda: _places(nodes) == [drained] * 2, "both servers are on one node", 600)
    nodes.cluster.asked("uncordon", other)
    until(
        lambda: nodes.cluster.get("pdb", "signs-serving")["status"]["disruptionsAllowed"] == 1,
        "one of the servers may go",
    )
    with _load(serving) as load:
        ran = nodes.cluster.kubectl(
            "drain", drained, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=15m"
        )
    nodes.cluster.asked("uncordon", drained)
    assert ran.returncode == 0, ran.stderr
    assert "Cannot evict pod as it would violate the pod's disruption budget" in ran.stderr
    until(lambda: _places(nodes) == [other] * 2, "both servers are on the other node", 600)
    assert load.errors == []
    assert load.answers > 100


class _Load:
    def __init__(self) -> None:
        self.answers = 0
        self.errors: list[str] = []
        self.lock = threading.Lock()
        self.over = threading.Event()

    def keep_asking(self, address: str) -> None:
        """One connection, which goes to another server when its own ends."""
        with Client(address, timeout_s=60) as client:
            while not self.over.wait(0.02):
                self._ask(client)

    def ask_anew(self, address: str) -> None:
        """A connection for each request, which is sent once: any server that is found is there."""
        while not self.over.wait(0.02):
            with Client(address, timeout_s=60, max_attempts=1) as client:
                self._ask(client)

    def _ask(self, client: Client) -> None:
        try:
            (answer,) = client.predict([GREEN])
            told = None if answer.class_name == "green" else f"{answer}"
        except ClientError as err:
            told = str(err)
        with self.lock:
            self.answers += told is None
            self.errors += [told] if told else []


@contextmanager
def _load(address: str) -> Iterator[_Load]:
    """Clients ask while it is entered; what they met is complete when it is left."""
    load = _Load()
    kinds = (load.keep_asking, load.ask_anew) * 2
    threads = [threading.Thread(target=each, args=(address,)) for each in kinds]
    for each in threads:
        each.start()
    try:
        yield load
    finally:
        load.over.set()
        for each in threads:
            each.join()


def _pods(nodes: Nodes) -> list[dict[str, Any]]:
    label = "app.kubernetes.io/name=signs-serving"
    told = json.loads(nodes.cluster.asked("get", "pods", "-l", label, "-o", "json"))
    found: list[dict[str, Any]] = told["items"]
    return found


def _places(nodes: Nodes) -> list[str]:
    """The nodes of the servers that are ready; with others, something that is no node."""
    return [
        each["spec"].get("nodeName", "") if _is_ready(each) else "not ready"
        for each in _pods(nodes)
    ]


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True"


def _container(nodes: Nodes, name: str) -> dict[str, Any]:
    (container,) = nodes.cluster.get("pod", name)["status"]["containerStatuses"]
    found: dict[str, Any] = container
    return found
