"""Kubernetes' API, as far as a step needs it to have a job beside it.

The rights are those of kubeflow/manifests: base/access.yaml and jobs/train-together/access.yaml.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import urllib3
from kubernetes import client, config

from kubeflow.together.manifest import API, OF_JOB, Manifest
from signs.errors import UserError

State = Literal["succeeded", "failed", "going on", "gone"]

_REQUEST_S = 20.0
_GONE_WITHIN_S = 180.0  # pods have half a minute to end
_PAUSE_S = 1.0
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_MAIN = "main"  # Argo's name for the container that is the step
_USUAL = (None, "ContainerCreating", "PodInitializing")  # reasons for which a pod waits
_OVER: dict[str, State] = {"Complete": "succeeded", "Succeeded": "succeeded", "Failed": "failed"}


class ClusterError(UserError):
    """Kubernetes did not do what it was asked for; `passing` where it may a little later."""

    def __init__(self, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.passing = passing


@dataclass(frozen=True)
class Job:
    """A kind of job, and the name of one."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Cluster:
    """One namespace of it."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        """Constructs, and asks nothing."""
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self.namespace = namespace

    @classmethod
    def here(cls) -> "Cluster":
        """That of the pod that asks.

        Raises:
            ClusterError: this is no pod, or has no account.
        """
        try:
            config.load_incluster_config()
            namespace = _NAMESPACE.read_text().strip()
        except (config.ConfigException, OSError) as err:
            raise ClusterError(
                "several workers are pods that Kubernetes starts, which cannot be asked from here: "
                f"{' '.join(str(err).split())}"
            ) from err
        return cls(client.ApiClient(), namespace)

    def own_pod(self) -> tuple[str, Manifest]:
        """The image of this step, and a reference to its pod as an owner."""
        # Not the host's name, which is cut off at 63 characters.
        name = os.environ.get("KFP_POD_NAME") or socket.gethostname()
        with _explained(f"look at the step's own pod {name}"):
            pod = self._core.read_namespaced_pod(name, self.namespace, _request_timeout=_REQUEST_S)
        images = {one.name: one.image for one in pod.spec.containers}
        image = images.get(_MAIN) or pod.spec.containers[0].image
        owner: Manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": name,
            "uid": pod.metadata.uid,
        }
        return image, owner

    def start(self, job: Job, manifest: Manifest) -> None:
        """Creates a job."""
        with _explained(f"start the {job}"):
            try:
                self._objects.create_namespaced_custom_object(
                    *self._place(job), manifest, _request_timeout=_REQUEST_S
                )
            except client.ApiException as err:
                if err.status == 404:
                    raise ClusterError(
                        f"this cluster has no {job.kind}: kubeflow/README.md says what has to be "
                        'installed, "Several machines"'
                    ) from err
                raise

    def remove(self, job: Job) -> None:
        """Deletes a job, if it is there, and waits until its pods are gone, too."""
        self.delete(job)
        deadline = time.monotonic() + _GONE_WITHIN_S
        while self.state(job)[0] != "gone":
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"the {job} of an earlier attempt does not go within {_GONE_WITHIN_S:.0f} s",
                    passing=True,
                )
            time.sleep(_PAUSE_S)

    def delete(self, job: Job) -> None:
        """Deletes a job with its pods, if it is there."""
        with _explained(f"delete the {job}"):
            try:
                self._objects.delete_namespaced_custom_object(
                    *self._place(job), job.name, _request_timeout=_REQUEST_S,
                    propagation_policy="Foreground",  # it is there as long as its pods
                )  # fmt: skip
            except client.ApiException as err:
                if err.status != 404:
                    raise

    def state(self, job: Job) -> tuple[State, str]:
        """How far a job is, and what the cluster says of it, in one line."""
        with _explained(f"look at the {job}"):
            try:
                found = self._objects.get_namespaced_custom_object(
                    *self._place(job), job.name, _request_timeout=_REQUEST_S
                )
            except client.ApiException as err:
                if err.status == 404:
                    return "gone", ""
                raise
        for condition in found.get("status", {}).get("conditions") or ():
            if condition["status"] == "True" and condition["type"] in _OVER:
                words = f"{condition.get('reason', '')}: {condition.get('message', '')}"
                return _OVER[condition["type"]], " ".join(words.split())
        return "going on", ""

    def pods(self, job: Job) -> list[str]:
        """What is to be said of each pod of a job, in the order of their names."""
        with _explained(f"look at the pods of the {job}"):
            found = self._core.list_namespaced_pod(
                self.namespace, label_selector=f"{OF_JOB[job.kind]}={job.name}",
                _request_timeout=_REQUEST_S,
            )  # fmt: skip
        pods = sorted(found.items, key=lambda pod: str(pod.metadata.name))
        return [f"{pod.metadata.name} {_words(pod)}" for pod in pods]

    def _place(self, job: Job) -> tuple[str, str, str, str]:
        group, _, version = API[job.kind].partition("/")
        return group, version, self.namespace, f"{job.kind.lower()}s"


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Errors of the client and of the server, in one line.

    Raises:
        ClusterError: any of them.
    """
    try:
        yield
    except client.ApiException as err:
        status = err.status or 0
        said = " ".join(_message(err).split())
        if status == 403:
            said += "; kubeflow/manifests/jobs/train-together gives the step the right"
        passing = status == 0 or status == 429 or status >= 500
        raise ClusterError(f"cannot {what}: {said}", passing=passing) from err
    except (urllib3.exceptions.HTTPError, OSError) as err:
        said = " ".join(str(err).split())
        raise ClusterError(f"cannot {what}: {said}", passing=True) from err


def _message(err: client.ApiException) -> str:
    """What a server's Status says; its kind and the rest are the client's text."""
    try:
        return str(json.loads(err.body or "")["message"])
    except (ValueError, LookupError, TypeError):
        return f"{err.status} {err.reason}"


def _words(pod: client.V1Pod) -> str:
    """Why it does not run, or how it has ended; else its phase."""
    status = pod.status
    for container in status.container_statuses or ():
        waiting, ended = container.state.waiting, container.state.terminated
        if waiting and waiting.reason not in _USUAL:
            return f"waits: {waiting.reason}: {' '.join((waiting.message or '').split())}"
        if ended and ended.exit_code:
            return f"has ended: {ended.reason}, exit code {ended.exit_code}"
    for condition in status.conditions or ():
        if condition.reason == "Unschedulable":
            return f"waits for a node: {' '.join((condition.message or '').split())}"
    return str(status.phase).lower()
