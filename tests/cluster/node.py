"""A node whose pods are processes of this machine: what a kubelet does, without images.

pods that the scheduler gave to this node -> volumes, environment -> processes -> the pods' status

A container is a process with mount and PID namespaces of its own (tests/kubeflow/backend/pod.py):
it sees this machine's files, and on top of them its pod's volumes. Real are: the pods' order of
containers, their volumes, secrets, config maps and tokens, exit codes, the memory limit (Linux ends
the process), `hostAliases` and the deletion with its time of grace. Not here: images, users,
read-only roots, networks, probes, restarts, `kubectl exec`, `logs` and `port-forward`.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from tests import ROOT
from tests.cluster.api import Api, NotFoundError
from tests.kubeflow.backend import pod as process
from tests.kubeflow.backend.argo import with_variables

_POLL_S = 0.15
_MEMORY = Path("/sys/fs/cgroup/memory")
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9, "": 1}
_READY = ("Ready", "ContainersReady")
NAME = "node"

Object = dict[str, Any]


class Node:
    """Runs pods while it is entered.

    Args:
        api: as its administrator.
        address: host and port of the API server, as pods are told it.
        folder: an empty folder, for volumes and logs.
        path: folders of programs that all images have.
        image: what all images have: folder as a container sees it -> folder of this machine.
        services: environment variables that tell pods of services, as a kubelet sets them.
    """

    def __init__(
        self,
        api: Api,
        address: tuple[str, int],
        folder: Path,
        *,
        path: Sequence[Path] = (),
        image: Mapping[str, Path] | None = None,
        services: Mapping[str, str] | None = None,
    ) -> None:
        self.api, self.folder = api, folder
        self.image = image or {}
        self.environment = {
            "PATH": ":".join([*map(str, path), os.environ.get("PATH", "/usr/bin:/bin")]),
            "HOME": "/tmp",
            "KUBERNETES_SERVICE_HOST": address[0],
            "KUBERNETES_SERVICE_PORT": str(address[1]),
            **(services or {}),
        }
        self._pods: dict[str, _Pod] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Node":
        room = {"cpu": "64", "memory": "256Gi", "pods": "500", "nvidia.com/gpu": "4"}
        self.api.ask("POST", "/api/v1/nodes", {"metadata": {"name": NAME}})
        ready = {"type": "Ready", "status": "True", "reason": "Tests", "message": ""}
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        self.api.ask("PATCH", f"/api/v1/nodes/{NAME}/status", {"status": status})
        # Admission marks a new node as not ready, and the controller that would see is not run.
        ready_for = {"spec": {"taints": None}}
        self.api.ask("PATCH", f"/api/v1/nodes/{NAME}", ready_for)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for pod in self._pods.values():
            pod.kill()
        for pod in self._pods.values():
            pod.join()

    def log(self, name: str, container: str = "main", namespace: str = "kubeflow") -> str:
        """What a container of a pod has said."""
        file = self.folder / namespace / name / f"{container}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _watch(self) -> None:
        while not self._over.wait(_POLL_S):
            with contextlib.suppress(requests.RequestException):
                found = self.api.ask("GET", "/api/v1/pods", fieldSelector=f"spec.nodeName={NAME}")
                there = set()
                for pod in found["items"]:
                    number = pod["metadata"]["uid"]
                    there.add(number)
                    if number not in self._pods:
                        self._pods[number] = _Pod(self, pod)
                        self._pods[number].start()
                    if "deletionTimestamp" in pod["metadata"]:
                        self._pods[number].end(pod["metadata"]["deletionGracePeriodSeconds"])
                for number in self._pods.keys() - there:  # somebody did not want to wait
                    self._pods[number].kill()


class _Pod(threading.Thread):
    def __init__(self, node: Node, pod: Object) -> None:
        super().__init__(daemon=True)
        self._node, self._pod = node, pod
        self._namespace = pod["metadata"]["namespace"]
        self._path = f"/api/v1/namespaces/{self._namespace}/pods/{pod['metadata']['name']}"
        self._folder = node.folder / self._namespace / pod["metadata"]["name"]
        self._containers: list[_Container] = []
        self._states: dict[str, Object] = {}
        self._ending, self._killed = threading.Event(), threading.Event()
        self._grace_s = 0.0

    def end(self, grace_s: float) -> None:
        """Lets it end within its time of grace, then removes it."""
        self._grace_s = grace_s
        self._ending.set()

    def kill(self) -> None:
        self._killed.set()
        self._ending.set()

    def run(self) -> None:
        try:
            self._live()
            self._ending.wait()
            if not self._killed.is_set():
                uid = {"preconditions": {"uid": self._pod["metadata"]["uid"]}}
                self._node.api.ask("DELETE", self._path, {"gracePeriodSeconds": 0, **uid})
        except (NotFoundError, requests.RequestException):
            pass  # it was removed meanwhile, or the control plane ends
        finally:
            for each in self._containers:
                each.signal(signal.SIGKILL)

    def _live(self) -> None:
        spec = self._pod["spec"]
        self._folder.mkdir(parents=True, exist_ok=True)
        for each in spec.get("initContainers", ()):
            if not self._start([each]) or not self._wait():
                self._report("Failed")
                return
            if self._containers.pop().status:
                self._report("Failed")
                return
        if not self._start(spec["containers"]):
            return
        done = self._wait()
        if done and spec["restartPolicy"] == "Always":
            self._report("Running")  # a kubelet would start them again, and calls it so
        elif done and not any(each.status for each in self._containers):
            self._report("Succeeded")
        else:
            self._report("Failed")

    def _start(self, wanted: Sequence[Object]) -> bool:
        """Starts containers, once all that they name is there."""
        while True:
            try:
                prepared = [self._prepared(each) for each in wanted]
                break
            except NotFoundError as err:
                waiting = {"reason": "CreateContainerConfigError", "message": f"{err} not found"}
                for each in wanted:
                    self._states[each["name"]] = {"waiting": waiting}
                self._report("Pending")
                if self._ending.wait(1):
                    return False
        self._containers = prepared
        for each in self._containers:
            each.start()
        self._report("Running" if wanted is self._pod["spec"]["containers"] else "Pending")
        return True

    def _wait(self) -> bool:
        """Until all containers are over; False where they were told to end."""
        told_s = None
        while any(each.status is None for each in self._containers):
            time.sleep(_POLL_S)
            if self._ending.is_set() and told_s is None:
                told_s = time.monotonic()
                for each in self._containers:
                    each.signal(signal.SIGTERM)
            if self._killed.is_set() or (told_s and time.monotonic() - told_s > self._grace_s):
                for each in self._containers:
                    each.signal(signal.SIGKILL)
            if any(each.is_new() for each in self._containers) and not self._killed.is_set():
                self._report("Running")
        for each in self._containers:
            each.is_new()
            each.close()
        return told_s is None

    def _report(self, phase: str) -> None:
        for each in self._containers:
            self._states[each.name] = each.state()
        spec = self._pod["spec"]
        probed = {each["name"] for each in spec["containers"] if "readinessProbe" in each}

        def told(wanted: Sequence[Object]) -> list[Object]:
            return [
                {
                    "name": each["name"], "image": each["image"], "imageID": "", "restartCount": 0,
                    "ready": "running" in state and each["name"] not in probed, "state": state,
                }
                for each in wanted
                if (state := self._states.get(each["name"], {"waiting": {"reason": "Init"}}))
            ]  # fmt: skip

        running = told(spec["containers"])
        ready = str(phase == "Running" and all(each["ready"] for each in running))
        status = {
            "phase": phase, "podIP": "127.0.0.1", "startTime": _now(),
            "containerStatuses": running,
            "initContainerStatuses": told(spec.get("initContainers", ())),
            "conditions": [{"type": kind, "status": ready} for kind in _READY],
        }  # fmt: skip
        if not self._killed.is_set():
            self._node.api.ask("PATCH", f"{self._path}/status", {"status": status})

    def _prepared(self, container: Object) -> "_Container":
        environment = dict(self._node.environment)
        for each in container.get("envFrom", ()):
            (source,) = (each[kind] for kind in ("configMapRef", "secretRef") if kind in each)
            with _optional(source):
                kind = "configmaps" if "configMapRef" in each else "secrets"
                environment |= self._values(kind, source["name"])
        for each in container.get("env", ()):
            with _optional(next(iter(each.get("valueFrom", {"": {}}).values()))):
                value = self._value(each, container)
                environment[each["name"]] = with_variables([value], environment)[0]
        mounts = {"/tmp": self._folder / f"tmp-{container['name']}"}
        for each in container.get("volumeMounts", ()):
            target = each["mountPath"].replace("/var/run/", "/run/", 1)
            mounts[target] = self._volume(each["name"]) / each.get("subPath", "")
        for source in mounts.values():
            if not source.is_file():
                source.mkdir(parents=True, exist_ok=True)
        if aliases := self._pod["spec"].get("hostAliases"):
            mounts["/etc/hosts"] = self._hosts(aliases)
        # Python and the programs are in the checkout, and that may lie below /tmp.
        mounts |= {str(ROOT): ROOT, **self._node.image}
        words = [*container.get("command", ()), *container.get("args", ())]
        limit = container.get("resources", {}).get("limits", {}).get("memory")
        return _Container(
            container["name"], with_variables(words, environment), environment,
            dict(sorted(mounts.items(), key=lambda item: len(item[0]))),
            container.get("workingDir", "/"), self._folder, limit and _bytes(limit),
        )  # fmt: skip

    def _hosts(self, aliases: Sequence[Object]) -> Path:
        file = self._folder / "hosts"
        lines = [f"{each['ip']} {' '.join(each['hostnames'])}\n" for each in aliases]
        file.write_text(Path("/etc/hosts").read_text() + "".join(lines))
        return file

    def _value(self, variable: Object, container: Object) -> str:
        source = variable.get("valueFrom")
        if source is None:
            return str(variable.get("value", ""))
        if "fieldRef" in source:
            return str(self._field(source["fieldRef"]["fieldPath"]))
        if "resourceFieldRef" in source:
            group, _, name = source["resourceFieldRef"]["resource"].partition(".")
            return str(container.get("resources", {}).get(group, {}).get(name, "0"))
        ((kind, reference),) = source.items()
        values = self._values(
            "secrets" if kind == "secretKeyRef" else "configmaps", reference["name"]
        )
        if reference["key"] not in values:
            raise NotFoundError(f"key {reference['key']} of {reference['name']}")
        return values[reference["key"]]

    def _field(self, path: str) -> Any:
        fixed = {"status.podIP": "127.0.0.1", "status.hostIP": "127.0.0.1"}
        if path in fixed:
            return fixed[path]
        group, _, name = path.partition("[")
        found: Any = self._pod
        for part in group.split("."):
            found = found.get(part, {})
        return found.get(name.strip("]'\""), "") if name else found

    def _values(self, kind: str, name: str) -> Mapping[str, str]:
        return self._node.api.values(kind, self._namespace, name)

    def _volume(self, name: str) -> Path:
        (volume,) = (each for each in self._pod["spec"]["volumes"] if each["name"] == name)
        if claim := volume.get("persistentVolumeClaim"):
            return self._claimed(claim["claimName"])
        folder = self._folder / f"volumes/{name}"
        folder.mkdir(parents=True, exist_ok=True)
        sources = [volume, *volume.get("projected", {}).get("sources", ())]
        for each in sources:
            for path, text in self._files(each).items():
                (folder / path).write_text(text)
        return folder

    def _files(self, source: Object) -> Mapping[str, str]:
        if secret := source.get("secret"):
            values = self._values("secrets", secret.get("secretName") or secret["name"])
            return _chosen(values, secret.get("items"))
        if config := source.get("configMap"):
            return _chosen(self._values("configmaps", config["name"]), config.get("items"))
        if token := source.get("serviceAccountToken"):
            account = self._pod["spec"]["serviceAccountName"]
            path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token"
            spec = {key: token[key] for key in ("expirationSeconds",) if key in token}
            if "audience" in token:
                spec["audiences"] = [token["audience"]]
            answer = self._node.api.ask("POST", path, {"spec": spec})
            return {token["path"]: answer["status"]["token"]}
        if api := source.get("downwardAPI"):
            return {
                item["path"]: str(self._field(item["fieldRef"]["fieldPath"]))
                for item in api["items"]
            }
        return {}

    def _claimed(self, name: str) -> Path:
        path = f"/api/v1/namespaces/{self._namespace}/persistentvolumeclaims/{name}"
        volume = self._node.api.ask("GET", path)["spec"]["volumeName"]
        found = self._node.api.ask("GET", f"/api/v1/persistentvolumes/{volume}")
        return Path(found["spec"]["hostPath"]["path"])


class _Container:
    """A process, and what Kubernetes says of one."""

    def __init__(
        self, name: str, words: Sequence[str], environment: Mapping[str, str],
        mounts: Mapping[str, Path], working_directory: str, folder: Path, limit: int | None,
    ) -> None:  # fmt: skip
        self.name = name
        self._words, self._environment, self._mounts = words, environment, mounts
        self._working_directory, self._folder, self._limit = working_directory, folder, limit
        self._group = _MEMORY / f"signs-{os.getpid()}-{folder.name}-{name}"
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._ended = ""
        self._out_of_memory = False

    def start(self) -> None:
        if self._limit and os.access(_MEMORY, os.W_OK):
            self._group.mkdir(exist_ok=True)
            (self._group / "memory.limit_in_bytes").write_text(str(self._limit))
        self._process = process.start(
            self._words, mounts=self._mounts, environment=self._environment,
            folder=self._working_directory, scratch=self._folder / f"root-{self.name}",
            log=self._folder / f"{self.name}.log", is_alone=True,
            group=self._group / "cgroup.procs" if self._group.is_dir() else None,
        )  # fmt: skip
        self._started = _now()

    @property
    def status(self) -> int | None:
        """Its exit code; None while it runs."""
        code = self._process.poll() if self._process else None
        return code if code is None or code >= 0 else 128 - code

    def is_new(self) -> bool:
        """Whether it has ended since this was asked last."""
        if self.status is None or self._ended:
            return False
        self._ended = _now()
        if self._group.is_dir():
            text = (self._group / "memory.oom_control").read_text()
            self._out_of_memory = "oom_kill 0" not in text
        return True

    def state(self) -> Object:
        if self.status is None:
            return {"running": {"startedAt": self._started}}
        reason = "OOMKilled" if self._out_of_memory else "Error" if self.status else "Completed"
        over = {"exitCode": self.status, "reason": reason, "startedAt": self._started}
        return {"terminated": {**over, "finishedAt": self._ended or _now()}}

    def signal(self, number: signal.Signals) -> None:
        """To its first process, as a container's runtime does."""
        if self._process is not None and self._process.poll() is None:
            for child in _children(self._process.pid) if number == signal.SIGTERM else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, number)
            if number == signal.SIGKILL:
                self._process.kill()  # and with it all, by unshare's --kill-child

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._group.rmdir()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def _optional(reference: Object) -> Any:
    try:
        yield
    except NotFoundError:
        if not reference.get("optional"):
            raise


def _chosen(values: Mapping[str, str], items: Sequence[Object] | None) -> Mapping[str, str]:
    if items is None:
        return values
    return {item["path"]: values[item["key"]] for item in items}


def _bytes(quantity: str) -> int:
    number = quantity.rstrip("KMGki")
    return int(float(number) * _UNITS[quantity[len(number) :]])


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
