"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler, for as long as a `with` lasts.

All listen on one address, at free ports, and write to one folder. Nodes: node.py, kubelet.py.
"""

import contextlib
import datetime
import json
import os
import secrets
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from model_server.process import free_port
from tests.cluster.api import Api

SERVICES = "10.96.0.0/24"  # their addresses
_START_S = 120.0
_POLL_S = 0.1
_STOP_S = 20.0


class ControlPlane:
    """A cluster without nodes.

    Args:
        programs: the folder of its programs.
        folder: an empty folder for its data, keys and logs.
        address: where the API server listens.
        nodes: the names of kubelets that may join, with a kube-proxy each; of these the cluster
            wants signs of life.
    """

    def __init__(
        self, programs: Path, folder: Path, *, address: str = "127.0.0.1", nodes: Sequence[str] = ()
    ) -> None:
        self._programs, self._folder = programs, folder
        self._address = address
        users = [
            *(f"system:node:{name}" for name in nodes),
            *(["system:kube-proxy"] if nodes else []),
        ]
        self._tokens = {user: secrets.token_hex(16) for user in users}
        self._token = secrets.token_hex(16)
        self._processes: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.port = free_port()
        self.kubeconfig = folder / "kubeconfig"
        self.kubelets_authority = folder / "kubelets.crt"  # whom a kubelet must trust
        self.certificate = folder / "certificates/apiserver.crt"  # whom a client must trust

    def __enter__(self) -> "ControlPlane":
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def environment(self) -> dict[str, str]:
        """For programs that ask the cluster as its administrator."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def kubectl(
        self, *words: str | Path, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl as the administrator, with `given` as its standard input."""
        return subprocess.run(
            ["kubectl", *words], env=self.environment, input=given, check=False,
            capture_output=True, text=True,
        )  # fmt: skip

    def asked(self, *words: str | Path, given: str | None = None) -> str:
        """What kubectl prints, of a command that must succeed."""
        ran = self.kubectl(*words, given=given)
        assert ran.returncode == 0, f"kubectl {' '.join(map(str, words))}: {ran.stderr}"
        return ran.stdout

    def get(self, kind: str, name: str, namespace: str = "kubeflow") -> Any:
        """An object of the cluster."""
        return json.loads(self.asked("get", kind, name, "-n", namespace, "-o", "json"))

    def api(self) -> Api:
        """For programs of the tests that ask as the administrator."""
        return Api(f"https://{self._address}:{self.port}", str(self.certificate), self._token)

    def launch(self, name: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Starts one more program of the folder, which ends with the rest."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [self._programs / name, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**self.environment, **environment}, cwd=self._folder,
            )  # fmt: skip
        self._processes.append((name, process))
        return process

    def log(self, name: str) -> Path:
        """What a program says."""
        return self._folder / f"{name}.log"

    def memory_mib(self) -> dict[str, int]:
        """The peak resident memory of each program so far."""
        peaks = {}
        for name, process in self._processes:
            with contextlib.suppress(OSError):
                peaks[name] = peak_mib(process.pid)
        return peaks

    def _start(self) -> None:
        store, peers = free_port(), free_port()
        (self._folder / "etcd").mkdir(mode=0o700)
        self.launch(
            "etcd", "--data-dir=etcd", "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{store}",
            f"--advertise-client-urls=http://127.0.0.1:{store}",
            f"--listen-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-cluster=default=http://127.0.0.1:{peers}",
        )  # fmt: skip
        _write_key(self._folder / "accounts.key")
        _write_certificate(self.kubelets_authority, _write_key(self._folder / "kubelets.key"))
        users = [(self._token, "admin", "system:masters")]
        for user, token in self._tokens.items():
            users.append((token, user, "system:nodes" if user.startswith("system:node:") else ""))
        (self._folder / "tokens.csv").write_text(
            "".join(f"{token},{user},{user},{group}\n" for token, user, group in users)
        )
        self.launch(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{store}",
            f"--bind-address={self._address}",
            f"--secure-port={self.port}",
            "--cert-dir=certificates",
            f"--advertise-address={self._address}",
            "--endpoint-reconciler-type=none",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            f"--kubelet-client-certificate={self.kubelets_authority}",
            "--kubelet-client-key=kubelets.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--token-auth-file=tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=accounts.key",
            "--service-account-signing-key-file=accounts.key",
            "--profiling=false",
        )
        self._write_kubeconfig(self.kubeconfig, self._token)
        self._wait_until_ready()
        own = (
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--kubeconfig={self.kubeconfig}",
        )
        self.launch(
            "kube-controller-manager", *own, f"--secure-port={free_port()}",
            f"--root-ca-file={self.certificate}",
            "--service-account-private-key-file=accounts.key",
            "--use-service-account-credentials",
            # The node that is no kubelet (node.py) sends no signs of life.
            *(() if self._tokens else ("--controllers=*,-node-lifecycle-controller",)),
        )  # fmt: skip
        self.launch("kube-scheduler", *own, f"--secure-port={free_port()}")

    def write_kubeconfig(self, file: Path, user: str) -> None:
        """Writes what a node's program needs to ask this cluster: a kubelet, or kube-proxy."""
        self._write_kubeconfig(file, self._tokens[user])

    def _write_kubeconfig(self, file: Path, token: str) -> None:
        cluster = {
            "server": f"https://{self._address}:{self.port}",
            "certificate-authority": str(self.certificate),
        }
        context = {"cluster": "c", "user": "u", "namespace": "kubeflow"}
        file.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": {"token": token}}],
                    "contexts": [{"name": "c", "context": context}],
                    "current-context": "c",
                }
            )
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        request = urllib.request.Request(
            f"https://{self._address}:{self.port}/readyz",
            headers={"Authorization": f"Bearer {self._token}"},
        )
        while True:
            for name, process in self._processes:
                assert process.poll() is None, f"{name} has ended: {self._last_lines(name)}"
            # The certificate is there once the server has made it.
            with contextlib.suppress(OSError, urllib.error.URLError):
                context = ssl.create_default_context(cafile=str(self.certificate))
                with urllib.request.urlopen(request, timeout=5, context=context):
                    return
            assert time.monotonic() < deadline, self._last_lines("kube-apiserver")
            time.sleep(_POLL_S)

    def _last_lines(self, name: str, count: int = 15) -> str:
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-count:])

    def _stop(self) -> None:
        """In the order opposite to their start, for each asks the one before."""
        for _, process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()


def _write_key(file: Path) -> rsa.RSAPrivateKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return key


def _write_certificate(file: Path, key: rsa.RSAPrivateKey) -> None:
    """Writes what the API server shows to kubelets; they trust this one and no other."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver"),
        ]
    )
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def peak_mib(pid: int) -> int:
    """The peak resident memory of a process so far; an OSError where it is gone."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def dumped(objects: Sequence[Any]) -> str:
    """Objects as kubectl takes them from its standard input."""
    return yaml.safe_dump_all(objects)
