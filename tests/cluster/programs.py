"""The programs of a control plane, built once: Kubernetes' and Argo's, and Debian's etcd.

programs/go.mod, go.sum -> Go's module proxy -> build/cluster/SUM/kube-apiserver, ...
Debian's etcd-server    -> its mirror        -> build/cluster/SUM/etcd

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
            _unpack_etcd(unfinished)
            _build(unfinished)
            unfinished.rename(folder)
    return folder


def argo_crds() -> Path:
    """The folder of Argo's own CRDs, whole."""
    return _argo() / "manifests/base/crds/full"


def _argo() -> Path:
    """Where Argo's module lies, as it was downloaded."""
    return Path(go(MODULE, "list", "-m", "-f", "{{.Dir}}", _ARGO).strip())


def _build(folder: Path) -> None:
    version = go(MODULE, "list", "-m", "-f", "{{.Version}}", _KUBERNETES).strip()
    named = f"-X k8s.io/component-base/version.gitVersion={version}"
    flags = ("build", "-p", "2", "-trimpath", f"-ldflags=-s -w {named}", "-o", f"{folder}/")
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


def _unpack_etcd(folder: Path) -> None:
    """Debian's package, unpacked and not installed: an installed one would start a service."""
    if found := shutil.which("etcd"):
        shutil.copy(found, folder / "etcd")
        return
    if not shutil.which("apt-get"):
        pytest.skip("there is no etcd, and no apt-get to fetch Debian's")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        fetched = subprocess.run(
            ["apt-get", "download", "etcd-server"], cwd=name, check=False, capture_output=True,
            text=True,
        )  # fmt: skip
        if fetched.returncode:
            pytest.skip(f"Debian's etcd-server cannot be had: {fetched.stderr.strip()}")
        (package,) = Path(name).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", package, name], check=True)
        shutil.copy(Path(name) / "usr/bin/etcd", folder / "etcd")
