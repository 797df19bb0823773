"""Kubernetes' API as far as a step asks it, on a loopback port, for the official client.

It lets the step's account do what the roles of kubeflow/manifests let it do, and takes objects that
the operators' own CRDs take: all else is refused, and remembered in `violations`.
"""

import functools
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import yaml
from kubernetes import client

from kubeflow.together.cluster import Cluster
from tests.kubeflow.custom_resources import TRAINER, TRAINING_OPERATOR, validator
from tests.kubeflow.manifests import MANIFESTS, Manifest

NAMESPACE = "team"
POD = "signs-x7k2p-retry-system-container-impl-1674538155"
IMAGE = f"registry.example.com/signs@sha256:{'5' * 64}"
ROLES = {
    "TrainJob": "jobs/train-together/access.yaml",
    "TFJob": "jobs/train-together-v1/access.yaml",
}
_CRDS = {
    "trainjobs": (TRAINER, "trainer.kubeflow.org_trainjobs.yaml"),
    "tfjobs": (TRAINING_OPERATOR, "kubeflow.org_tfjobs.yaml"),
}
_PATH = re.compile(
    r"/apis?(?:/(?P<group>[^/]+\.[^/]+))?/v1(?:alpha1)?"
    rf"/namespaces/{NAMESPACE}/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+))?"
)


def rules(kind: str) -> list[Manifest]:
    """What the account may, where jobs are of a kind."""
    found = []
    for file in ("base/access.yaml", ROLES[kind]):
        for each in yaml.safe_load_all((MANIFESTS / file).read_text()):
            if each["kind"] == "Role" and each["metadata"]["name"] != "signs-submitter":
                found += each["rules"]
    return found


@dataclass
class FakeKubernetes:
    """The server, and all that it holds. `operator` is called in a thread for each new job."""

    kind: str = "TrainJob"
    operator: Callable[["FakeKubernetes", Manifest], None] = lambda server, job: None
    pods: list[Manifest] = field(default_factory=list)
    faults: list[tuple[str, int]] = field(default_factory=list)  # "METHOD kind", status
    jobs: dict[str, Manifest] = field(default_factory=dict)  # by name
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # verb, group, kind
    violations: list[str] = field(default_factory=list)

    def __enter__(self) -> "FakeKubernetes":
        self.rules = rules(self.kind)
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def cluster(self) -> Cluster:
        """A client of it."""
        configuration = client.Configuration(host=f"http://127.0.0.1:{self._server.server_port}")
        configuration.retries = False
        return Cluster(client.ApiClient(configuration), NAMESPACE)

    def operate(self, job: Manifest) -> None:
        """Has the operator do its work; where it fails, so does the job."""
        try:
            self.operator(self, job)
        except Exception as err:
            self.violations.append(repr(err))
            self.ends(job, "Failed", repr(err))

    def ends(self, job: Manifest, kind: str, message: str = "") -> None:
        """Gives a job the condition with which it is over."""
        condition = {"type": kind, "status": "True", "reason": kind, "message": message}
        running = {"type": "Running", "status": "False", "reason": "r", "message": ""}
        job["status"] = {"conditions": [running, condition]}

    def may(self, verb: str, group: str, kind: str, name: str) -> bool:
        """Whether a rule lets the account."""
        return any(
            verb in rule["verbs"]
            and group in rule["apiGroups"]
            and kind in rule["resources"]
            and name in rule.get("resourceNames", [name])
            for rule in self.rules
        )


@functools.cache
def _schema(kind: str) -> jsonschema.Draft202012Validator:
    return validator(*_CRDS[kind])


class _Refused(Exception):  # noqa: N818 - what the server answers
    pass


class _Handler(BaseHTTPRequestHandler):
    fake: FakeKubernetes
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("get")

    def do_POST(self) -> None:
        self._answer("create")

    def do_DELETE(self) -> None:
        self._answer("delete")

    def _answer(self, verb: str) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        try:
            status, answer = 200, self._route(verb, parts.path, query, body)
        except _Refused as err:
            status, message = err.args
            answer = {"kind": "Status", "status": "Failure", "message": message, "code": status}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _route(self, verb: str, path: str, query: dict[str, str], body: bytes) -> Any:
        match = _PATH.fullmatch(path)
        if match is None:
            self.fake.violations.append(f"{verb} {path}: no such path")
            raise _Refused(404, "the server could not find the requested resource")
        group, kind, name = match["group"] or "", match["kind"], match["name"] or ""
        verb = "list" if verb == "get" and not name else verb
        self.fake.asked.append((verb, group, kind))
        for index, (what, status) in enumerate(self.fake.faults):
            if what == f"{verb} {kind}":
                del self.fake.faults[index]
                raise _Refused(status, f"fault {status}")
        if not self.fake.may(verb, group, kind, name):
            self.fake.violations.append(f"{verb} {kind} {name} in {group}")
            raise _Refused(403, f'{kind} is forbidden: User "signs-pipeline" cannot {verb}')
        if kind == "pods":
            return self._pods(name, query)
        return self._jobs(verb, kind, name, query, body)

    def _pods(self, name: str, query: dict[str, str]) -> Any:
        if not name:
            key, _, value = query["labelSelector"].partition("=")
            pods = [pod for pod in self.fake.pods if pod["metadata"]["labels"].get(key) == value]
            return {"kind": "PodList", "apiVersion": "v1", "items": pods}
        if name != POD:
            raise _Refused(404, f'pods "{name}" not found')
        containers = [{"name": "wait", "image": "argoexec:v4"}, {"name": "main", "image": IMAGE}]
        return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": POD, "uid": "u-1"},
                "spec": {"containers": containers}, "status": {"phase": "Running"}}  # fmt: skip

    def _jobs(self, verb: str, kind: str, name: str, query: dict[str, str], body: bytes) -> Any:
        jobs = self.fake.jobs
        if verb == "create":
            job = json.loads(body)
            name = job["metadata"]["name"]
            if wrong := [error.message for error in _schema(kind).iter_errors(job)]:
                self.fake.violations += wrong
                raise _Refused(422, f"{name} is invalid: {wrong[0]}")
            if name in jobs:
                raise _Refused(409, f'{kind} "{name}" already exists')
            jobs[name] = job
            threading.Thread(target=self.fake.operate, args=[job], daemon=True).start()
            return job
        if name not in jobs:
            raise _Refused(404, f'{kind} "{name}" not found')
        metadata = jobs[name]["metadata"]
        if verb == "delete":
            assert query["propagationPolicy"] == "Foreground"
            metadata["deletionTimestamp"] = "2026-11-27T00:00:00Z"
            return {"kind": "Status", "status": "Success"}
        # What is deleted is there for another look: as long as its pods.
        return jobs.pop(name) if "deletionTimestamp" in metadata else jobs[name]


def pod(job: Manifest, index: int, **status: Any) -> Manifest:
    """A pod of a job."""
    label = {
        "TrainJob": "jobset.sigs.k8s.io/jobset-name",
        "TFJob": "training.kubeflow.org/job-name",
    }
    name = job["metadata"]["name"]
    return {
        "metadata": {"name": f"{name}-node-0-{index}-abcde", "labels": {label[job["kind"]]: name}},
        "status": {"phase": "Running", **status},
    }
