"""Which of a training's workers this process is, as TF_CONFIG tells it.

An operator such as Kubeflow's TFJob starts one process a worker, and gives each the variable:

    {"cluster": {"chief": ["host:2222"], "worker": ["host:2222", ...]},
     "task": {"type": "worker", "index": 0}}

Where no chief is named, the first worker is it. The contract is that of
tf.distribute.cluster_resolver.TFConfigClusterResolver. Importing this module does not import
TensorFlow.
"""

import json
import os
import re
import socket
import time
from dataclasses import dataclass
from typing import Any

from signs.errors import UserError

TF_CONFIG = "TF_CONFIG"

_PAUSE_S = 1.0

_JOBS = ("chief", "worker")  # in the order in which TensorFlow counts them


class ClusterError(UserError):
    """TF_CONFIG does not name workers that can train together."""


@dataclass(frozen=True)
class Workers:
    """How many processes train together, and which of them this is."""

    addresses: tuple[str, ...] = ("localhost:0",)  # host:port, the chief's first
    index: int = 0  # of this process among them

    @property
    def count(self) -> int:
        """Number of workers, this one included."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes: checkpoints, logs, the model."""
        return self.index == 0

    @classmethod
    def from_environment(cls) -> "Workers":
        """The workers that TF_CONFIG names; one alone where it is not set or names one.

        Raises:
            ClusterError: it is not such a variable, or asks for what there is not: parameter
                servers, an evaluator.
        """
        text = os.environ.get(TF_CONFIG, "").strip()
        if not text:
            return cls()
        try:
            config = json.loads(text)
        except json.JSONDecodeError as err:
            raise ClusterError(f"{TF_CONFIG} is not JSON ({err}). Received: {text}") from err
        sizes = _sizes(config)
        if not sizes:
            return cls()
        task = config.get("task") if isinstance(config.get("task"), dict) else {}
        job, index = task.get("type"), task.get("index")
        if job not in sizes or type(index) is not int or not 0 <= index < sizes[job]:
            known = " or ".join(f"{name} 0 to {size - 1}" for name, size in sizes.items())
            raise ClusterError(
                f'the "task" in {TF_CONFIG} must be of its cluster, {known}. '
                f"Received: {json.dumps(config.get('task'))}"
            )
        before = sizes.get("chief", 0) if job == "worker" else 0
        addresses = [address for name in sizes for address in config["cluster"][name]]
        return cls(tuple(addresses), before + index)

    def wait(self, timeout_s: float = 900.0) -> None:
        """Waits until all workers have come this far, as TensorFlow does without an end.

        Args:
            timeout_s: pods do not start all at once, nor are images pulled so.

        Raises:
            ClusterError: some have not, or the address of this one is not its own.
        """
        deadline = time.monotonic() + timeout_s
        own = self.addresses[self.index]
        try:
            # TensorFlow takes the address over, and answers those who still ask.
            listening = socket.create_server(("", _port(own)), backlog=self.count)
        except OSError as err:
            why = os.strerror(err.errno or 0)
            raise ClusterError(f"{TF_CONFIG} gives this worker {own}: {why}") from err
        with listening:
            missing = [address for address in self.addresses if address != own]
            while missing := [address for address in missing if not _answers(address)]:
                if time.monotonic() > deadline:
                    raise ClusterError(
                        f"{', '.join(missing)} could not be reached within {timeout_s:.0f} s: all "
                        f"workers that {TF_CONFIG} names must be started, and their ports open"
                    )
                time.sleep(_PAUSE_S)


ALONE = Workers()


def is_chief() -> bool:
    """Whether this process is the one that writes what a training leaves.

    Raises:
        ClusterError: see `Workers.from_environment`.
    """
    return Workers.from_environment().is_chief


def _answers(address: str) -> bool:
    try:
        socket.create_connection((address.rpartition(":")[0], _port(address)), _PAUSE_S).close()
    except OSError:
        return False
    return True


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _sizes(config: Any) -> dict[str, int]:
    """The number of tasks of each job, those of none left out."""
    cluster = config.get("cluster", {}) if isinstance(config, dict) else None
    if not isinstance(cluster, dict) or not all(map(_is_list_of_addresses, cluster.values())):
        raise ClusterError(
            f'{TF_CONFIG} must have a "cluster" of lists of addresses, such as '
            f'{{"worker": ["one:2222", "other:2222"]}}. Received: {json.dumps(config)}'
        )
    task = config.get("task")
    jobs = {job for job, addresses in cluster.items() if addresses}
    jobs |= {str(task["type"])} if isinstance(task, dict) and "type" in task else set()
    if others := sorted(jobs - set(_JOBS)):
        raise ClusterError(
            f"the jobs in {TF_CONFIG} must be chief and worker alone: each worker holds the whole "
            f"network, and Evaluator evaluates. Received: {', '.join(others)}"
        )
    if len(cluster.get("chief", ())) > 1:
        raise ClusterError(
            f"{TF_CONFIG} must name one chief at most. Received: {json.dumps(cluster['chief'])}"
        )
    addresses = [address for job in _JOBS for address in cluster.get(job, ())]
    if twice := sorted({address for address in addresses if addresses.count(address) > 1}):
        raise ClusterError(
            f"{TF_CONFIG} must name each address once. Received twice: {', '.join(twice)}"
        )
    return {job: len(cluster[job]) for job in _JOBS if cluster.get(job)}


def _is_list_of_addresses(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(address, str) and re.fullmatch(r".+:\d{1,5}", address) and _port(address) < 2**16
        for address in value
    )
