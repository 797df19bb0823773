"""A node with Kubernetes' own kubelet and Debian's containerd, in namespaces of this machine.

kubeconfig, programs -> namespaces -> containerd, kubelet, kube-proxy, CoreDNS -> pods

Pods are containers: with images, users, read-only roots, control groups, probes, restarts and a
network of their own. The images are next to empty (image.py): into each container the runtime
mounts this machine's programs, Python and this checkout, where kubeflow/Dockerfile has them. Not
here: a network plugin that knows NetworkPolicy, a registry.

All that the node starts ends with its first process, and its mounts and interfaces with that.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests import ROOT
from tests.cluster.control_plane import ControlPlane
from tests.cluster.image import layer, write_image
from tests.cluster.network import ALL, Network, node_address, pod_network
from tests.cluster.waiting import until

GROUPS = Path("/sys/fs/cgroup")
_SOCKET = "/run/containerd/containerd.sock"
_DOMAIN = "cluster.local"
_PAUSE = "signs.test/pause:1"
_STOP_S = 20.0
# The first process of the node: it collects processes that have lost their parent.
#
# A kubelet sets what the kernel does when it is in trouble, for the whole machine. Here it finds
# those settings made, and they are the machine's own still.
_ENTER = """
for folder in /run /var/lib /var/log; do mount -t tmpfs tmpfs $folder; done
mkdir /run/netns /run/settings /var/lib/kubelet
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    name=${setting%=*}
    file=/run/settings/$(echo $name | tr / -)
    echo ${setting#*=} > $file
    mount --bind $file /proc/sys/$name
done
echo 1 > /proc/sys/net/ipv4/ip_forward
echo ready
while :; do sleep 3600 & wait; done
"""


class KubeletNode:
    """Runs pods while it is entered.

    Args:
        cluster: the control plane, which knows the node's name.
        network: joins the nodes.
        programs: the folder of kubelet, containerd and what containerd needs.
        folder: an empty folder, for all that the node writes.
        number: which of the nodes it is; 1 is the first.
        count: how many there will be.
    """

    def __init__(
        self,
        cluster: ControlPlane,
        network: Network,
        programs: Path,
        folder: Path,
        *,
        number: int = 1,
        count: int = 1,
    ) -> None:
        self.name = f"node-{number}"
        self._cluster, self._network, self._programs = cluster, network, programs
        self._folder, self._number, self._count = folder, number, count
        self._group = f"/signs-{os.getpid()}-{self.name}"
        self._space: subprocess.Popen[str] | None = None
        self._first = 0
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "KubeletNode":
        try:
            self._enter_namespaces()
            self._start_containerd()
            self._start_kubelet()
            self._start_proxy()
            if self._number == 1:
                self._start_dns()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def log(self, name: str) -> Path:
        """What `containerd`, `kubelet`, `kube-proxy` or (on the first node) `coredns` says."""
        return self._folder / f"{name}.log"

    def run(self, *words: str | Path) -> str:
        """What a command prints, run on the node."""
        ran = subprocess.run(
            [*self._inside(), *words], env=self._environment(), check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == 0, f"{' '.join(map(str, words))}: {ran.stderr}"
        return ran.stdout

    def import_image(
        self, names: Sequence[str], programs: Mapping[str, bytes], config: Mapping[str, Any]
    ) -> str:
        """Gives the node an image, and returns its digest (see image.py)."""
        file = self._folder / "image.tar"
        links = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}
        # The programs of all containers are mounted here.
        folders = ["usr", "tmp", "etc", "opt", "opt/image"]
        for target in self._mounted():
            parts = target.strip("/").split("/")
            folders += ["/".join(parts[: end + 1]) for end in range(len(parts))]
        content = layer(list(dict.fromkeys(folders)), links, programs)
        digest = write_image(file, names, content, config)
        self.run("ctr", "--address", _SOCKET, "-n", "k8s.io", "images", "import", file)
        file.unlink()
        return digest

    def memory_mib(self) -> dict[str, int]:
        """The peak resident memory of each program so far."""
        peaks = {}
        for name, process in self._processes.items():
            (pid,) = _children(process.pid) or (process.pid,)
            status = Path(f"/proc/{pid}/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
            peaks[name] = int(line.split()[1]) // 1024
        return peaks

    def _enter_namespaces(self) -> None:
        self._space = subprocess.Popen(
            [
                "setpriv", "--pdeathsig", "KILL",  # whatever ends the tests ends the node
                "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                "--propagation", "private", "sh", "-ec", _ENTER,
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._space.stdout
        assert self._space.stdout.readline() == "ready\n"
        (self._first,) = _children(self._space.pid)
        self._network.join(self._number, self._first, self._count)
        for each in GROUPS.iterdir():
            if each.is_dir() and not (each / "cgroup.controllers").exists():
                (each / self._group.strip("/")).mkdir()

    def _inside(self) -> list[str]:
        kinds = ("--mount", "--net", "--pid")
        return ["nsenter", "--target", str(self._first), *kinds]

    def _environment(self) -> dict[str, str]:
        path = f"{self._programs}:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "HOME": "/run", "LANG": "C.UTF-8"}

    def _launch(self, name: str, *words: str | Path) -> None:
        with self.log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*self._inside(), self._programs / name, *words], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=self._environment(), cwd=self._folder,
            )  # fmt: skip

    def _mounted(self) -> dict[str, Path]:
        """What all containers see of this machine, where it is in the image of kubeflow."""
        seen = {
            "/usr": Path("/usr"),
            "/app": ROOT,
            "/opt/signs": Path(sys.prefix),
        }
        python = Path(sys.base_prefix)
        if not python.is_relative_to("/usr"):
            seen[str(python)] = python
        return seen

    def _start_containerd(self) -> None:
        made = subprocess.run(
            [self._programs / "ctr", "oci", "spec"], check=True, capture_output=True
        )
        spec = json.loads(made.stdout)
        spec["mounts"] += [
            {
                "destination": target,
                "type": "bind",
                "source": str(source),
                "options": ["rbind", "ro"],
            }
            for target, source in self._mounted().items()
        ]
        (self._folder / "spec.json").write_text(json.dumps(spec))
        gateway = pod_network(self._number).replace(".0/24", ".1")
        ranges = [[{"subnet": pod_network(self._number), "gateway": gateway}]]
        networks = self._folder / "cni"
        networks.mkdir()
        bridge = {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]},
        }
        (networks / "pods.conflist").write_text(
            json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]})
        )
        (self._folder / "containerd.toml").write_text(f"""version = 2
root = "{self._folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "{_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{_PAUSE}"
  # Without the right CAP_SYS_RESOURCE nobody may be spared more than the kubelet is.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{self._programs}"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    base_runtime_spec = "{self._folder}/spec.json"
""")
        self._launch("containerd", "--config", self._folder / "containerd.toml")
        until(
            lambda: self._is_up("containerd", "ctr", "--address", _SOCKET, "version"),
            f"containerd answers: {self.log('containerd')}", 60,
        )  # fmt: skip
        program = (self._programs / "pause").read_bytes()
        self.import_image([_PAUSE], {"pause": program}, {"Entrypoint": ["/pause"]})

    def _is_up(self, name: str, *words: str) -> bool:
        said = self.log(name).read_text(errors="replace").splitlines()[-5:]
        assert self._processes[name].poll() is None, f"{name} has ended: {said}"
        ran = subprocess.run(
            [*self._inside(), *words], check=False, capture_output=True, env=self._environment()
        )
        return ran.returncode == 0

    def _start_kubelet(self) -> None:
        kubeconfig = self._folder / "kubeconfig"
        self._cluster.write_kubeconfig(kubeconfig, f"system:node:{self.name}")
        settings = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": node_address(self._number),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._cluster.kubelets_authority)},
            },
            "authorization": {"mode": "Webhook"},
            "clusterDNS": [node_address(1)],
            "clusterDomain": _DOMAIN,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self._group,
            "failCgroupV1": False,
            "protectKernelDefaults": True,
            "failSwapOn": False,
            "containerRuntimeEndpoint": f"unix://{_SOCKET}",
            "healthzBindAddress": "127.0.0.1",
            "podLogsDir": str(self._folder / "pods"),
            "resolvConf": "",
            # Pods are asked for their state as often as tests wait for it.
            "nodeStatusUpdateFrequency": "4s",
            # The machine's memory and disk are not the node's to watch over.
            "evictionHard": {"memory.available": "50Mi"},
            "imageGCHighThresholdPercent": 100,
        }
        file = self._folder / "kubelet.yaml"
        file.write_text(yaml.safe_dump(settings))
        self._launch(
            "kubelet", f"--config={file}", f"--kubeconfig={kubeconfig}",
            f"--hostname-override={self.name}", f"--node-ip={node_address(self._number)}",
            f"--root-dir={self._folder / 'kubelet'}", "--cert-dir=/run/certificates",
        )  # fmt: skip

    def _start_proxy(self) -> None:
        kubeconfig = self._folder / "kube-proxy.kubeconfig"
        self._cluster.write_kubeconfig(kubeconfig, "system:kube-proxy")
        settings = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "hostnameOverride": self.name,
            "mode": "iptables",
            "clusterCIDR": ALL,
            # The way back to who asks from outside leads through this node too.
            "iptables": {"masqueradeAll": True},
            "conntrack": {
                "maxPerCore": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
        }
        file = self._folder / "kube-proxy.yaml"
        file.write_text(yaml.safe_dump(settings))
        self._launch("kube-proxy", f"--config={file}")

    def _start_dns(self) -> None:
        """The names of services, for the pods of all nodes."""
        file = self._folder / "Corefile"
        file.write_text(f""".:53 {{
    bind {node_address(self._number)}
    errors
    kubernetes {_DOMAIN} {{
        kubeconfig {self._cluster.kubeconfig}
    }}
}}
""")
        self._launch("coredns", "-conf", file)

    def _stop(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                for pid in _children(process.pid) or [process.pid]:
                    os.kill(pid, 15)
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
        if self._space is not None:
            self._space.kill()  # and with it all that is left, by --kill-child
            self._space.wait()
            assert self._space.stdout
            self._space.stdout.close()
        for process in self._processes.values():
            process.wait(_STOP_S)
        for each in GROUPS.iterdir():
            remove_group(each / self._group.strip("/"))


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def remove_group(folder: Path, timeout_s: float = 10.0) -> None:
    """Removes a control group with those in it; its last processes may just be ending."""
    if not folder.is_dir():
        return
    for path, _, _ in os.walk(folder, topdown=False):
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                Path(path).rmdir()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
