"""Builds the image as its Dockerfile says, but for FROM, and looks at what came out."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT
from tests.image.docker import Docker

# This machine's own settings of where packages come from, by the build's secrets.
_SECRETS = {
    "pip": ("~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf"),
    "uv": ("~/.config/uv/uv.toml", "/etc/uv/uv.toml"),
    "certificates": ("/etc/ssl/certs/ca-certificates.crt",),
}
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_NO_LAYER = ("CMD", "ENV", "LABEL", "USER")  # of the Dockerfile's instructions


@dataclass(frozen=True)
class Layer:
    """A layer of an image."""

    digest: str  # of its files, as a tar
    size: int  # bytes
    made_by: str


@dataclass(frozen=True)
class Image:
    """An image that was built."""

    id: str  # sha256:...
    layers: tuple[Layer, ...]
    seconds: float
    log: str

    @property
    def size(self) -> int:
        return sum(layer.size for layer in self.layers)


class BuildError(Exception):
    """The build failed; the text is what it printed."""


def checkout(folder: Path) -> Path:
    """A copy of what git knows of the working tree: a context to build from, and to change."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def build(docker: Docker, base: str, context: Path, *options: str) -> Image:
    """Builds the image.

    Args:
        docker: the daemon.
        base: the image that FROM is to name.
        context: a checkout.
        options: more of `docker build`.

    Raises:
        BuildError: a step of the build failed.
    """
    text = (context / "kubeflow" / "Dockerfile").read_text()
    text, count = re.subn(r"^FROM python:\S+ AS base$", f"FROM {base} AS base", text, flags=re.M)
    assert count == 1
    settings = []
    for name, places in _SECRETS.items():
        for file in [Path(place).expanduser() for place in places]:
            if file.is_file():
                settings += ["--secret", f"id={name},src={file}"]
                break
    for name in filter(os.environ.get, _PROXIES):
        settings += ["--build-arg", name]
    begin = time.monotonic()
    done = docker.client(
        "build", "--network=host", "--progress=plain", "--file=-", *settings, *options,
        str(context), check=False, stdin=text,
    )  # fmt: skip
    if done.returncode:
        raise BuildError(done.stderr)
    (digest,) = re.findall(r"writing image (sha256:[0-9a-f]{64})", done.stderr)[-1:]
    return Image(digest, layers(docker, digest), time.monotonic() - begin, done.stderr)


def layers(docker: Docker, image: str) -> tuple[Layer, ...]:
    """The layers of an image, the lowest first."""
    digests = docker.output(
        "inspect", "--format", "{{range .RootFS.Layers}}{{println .}}{{end}}", image
    ).split()
    told = docker.output(
        "history", "--human=false", "--no-trunc", "--format={{.Size}}\t{{.CreatedBy}}", image
    )
    made = [line.split("\t", 1) for line in reversed(told.splitlines())]
    filled = [(int(size), what) for size, what in made if not what.startswith(_NO_LAYER)]
    return tuple(
        Layer(digest, size, what) for digest, (size, what) in zip(digests, filled, strict=True)
    )


def files(docker: Docker, image: str) -> dict[str, tuple[object, ...]]:
    """All files and folders of an image: kind, mode, owner, date, and what is in them."""
    container = docker.output("create", "--network=none", image).strip()
    try:
        export = docker.start(["export", container], subprocess.PIPE)
        assert export.stdout is not None
        with tarfile.open(fileobj=export.stdout, mode="r|") as tar:
            found = dict(_entries(tar))
        assert export.wait() == 0
    finally:
        docker.client("rm", container)
    return found


def _entries(tar: tarfile.TarFile) -> Iterator[tuple[str, tuple[object, ...]]]:
    for one in tar:
        content = tar.extractfile(one) if one.isreg() else None
        digest = hashlib.sha256(content.read()).hexdigest() if content else one.linkname
        yield one.name, (one.type, oct(one.mode), one.uid, one.gid, one.mtime, one.size, digest)
