"""The programs of a cluster, built once: Kubernetes' and Argo's, and what Debian has.

programs/go.mod, go.sum -> Go's module proxy -> build/cluster/SUM/kube-apiserver, ...
Debian's etcd-server    -> its mirror        -> build/cluster/SUM/etcd

Likewise what a node takes: kubelet, kube-proxy, CoreDNS, containerd, ... -> build/cluster/SUM-node.

SUM is of what is asked for, so that other versions are built anew. `make clean` removes them.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests import ROOT
from tests.golang import go

MODULE = Path(__file__).parent / "programs"
_KUBERNETES = "k8s.io/kubernetes"
_ARGO = "github.com/argoproj/argo-workflows/v4"
_COMMANDS = (
    *(f"{_KUBERNETES}/cmd/{name}" for name in ("kube-apiserver", "kube-controller-manager")),
    f"{_KUBERNETES}/cmd/kube-scheduler",
    f"{_ARGO}/cmd/workflow-controller",
)
_EXECUTOR = f"{_ARGO}/cmd/argoexec"
_OF_NODES = tuple(f"{_KUBERNETES}/cmd/{name}" for name in ("kubelet", "kube-proxy"))
_OWN = {"pause": MODULE.with_name("pause"), "coredns": MODULE.with_name("dns")}
# Debian's packages -> their files, for a node.
_UNPACKED = {
    "containerd": ("usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr"),
    "runc": ("usr/sbin/runc",),
    "containernetworking-plugins": tuple(
        f"usr/lib/cni/{name}" for name in ("bridge", "host-local", "loopback")
    ),
}


def programs() -> Path:
    """The folder with all of them. Skips the test where they cannot be had."""
    asked = (MODULE / "go.mod").read_bytes() + (MODULE / "go.sum").read_bytes()
    asked += " ".join((*_COMMANDS, _EXECUTOR)).encode()
    folder = ROOT / "build" / "cluster" / hashlib.sha256(asked).hexdigest()[:16]
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            unfinished = Path(name) / "bin"
            unfinished.mkdir()
            if found := shutil.which("etcd"):
                shutil.copy(found, unfinished / "etcd")
            else:
                _unpack(unfinished, "etcd-server", "usr/bin/etcd")
            _build(unfinished)
            unfinished.rename(folder)
    return folder


def node_programs(built: Path) -> Path:
    """The folder of a node's programs, beside `programs()`. Skips the test as that does."""
    folder = built.parent / f"{built.name}-node"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=built.parent) as name:
            unfinished = Path(name) / "bin"
            unfinished.mkdir()
            for package, files in _UNPACKED.items():
                _unpack(unfinished, package, *files)
            go(MODULE, *_flags(unfinished), *_OF_NODES, CGO_ENABLED="0")
            for program, module in _OWN.items():
                words = ("build", "-p", "2", "-trimpath", "-ldflags=-s -w", "-o")
                go(module, *words, unfinished / program, ".", CGO_ENABLED="0")
            unfinished.rename(folder)
    return folder


def argo_crds() -> Path:
    """The folder of Argo's own CRDs, whole."""
    return _argo() / "manifests/base/crds/full"


def _argo() -> Path:
    """Where Argo's module lies, as it was downloaded."""
    return Path(go(MODULE, "list", "-m", "-f", "{{.Dir}}", _ARGO).strip())


def _flags(folder: Path) -> tuple[str, ...]:
    """Of a build into a folder."""
    version = go(MODULE, "list", "-m", "-f", "{{.Version}}", _KUBERNETES).strip()
    named = f"-X k8s.io/component-base/version.gitVersion={version}"
    return ("build", "-p", "2", "-trimpath", f"-ldflags=-s -w {named}", "-o", f"{folder}/")


def _build(folder: Path) -> None:
    flags = _flags(folder)
    go(MODULE, *flags, *_COMMANDS, CGO_ENABLED="0")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        go(MODULE, *flags, f"-modfile={_with_signals(Path(name))}", _EXECUTOR, CGO_ENABLED="0")


def _with_signals(folder: Path) -> Path:
    """Another go.mod, with Argo's sources in `folder`: the module has no `signal_linux.go`.

    The one that it has for macOS takes its place; without it there is no argoexec.
    """
    sources = shutil.copytree(_argo(), folder / "argo", copy_function=shutil.copyfile)
    lacking = sources / "workflow/executor/osspecific"
    lacking.chmod(0o755)
    shutil.copyfile(lacking / "signal_darwin.go", lacking / "signal_linux.go")
    for file in ("go.mod", "go.sum"):
        shutil.copyfile(MODULE / file, folder / file)
    go(folder, "mod", "edit", f"-replace={_ARGO}={sources}")
    return folder / "go.mod"


def _unpack(folder: Path, package: str, *files: str) -> None:
    """Copies files of Debian's package, which is not installed: it might start a service."""
    if not shutil.which("apt-get"):
        pytest.skip(f"there is no apt-get to fetch Debian's {package}")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        fetched = subprocess.run(
            ["apt-get", "download", package], cwd=name, check=False, capture_output=True,
            text=True,
        )  # fmt: skip
        if fetched.returncode:
            pytest.skip(f"Debian's {package} cannot be had: {fetched.stderr.strip()}")
        (archive,) = Path(name).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", archive, name], check=True)
        for file in files:
            shutil.copy(Path(name) / file, folder)
