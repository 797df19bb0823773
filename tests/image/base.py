"""What takes the place of the Dockerfile's FROM, which names an image of a registry.

Debian 13 with its own Python 3.13 from Debian's packages; the official image has a newer patch of
it, compiled from source.
"""

import hashlib
import subprocess
from pathlib import Path

from tests.image.docker import Docker

_PACKAGES = "ca-certificates,netbase,tzdata,python3-dev,python3-pip,python3-venv,python-is-python3"
_RECIPE = (
    "mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}",
    # pip is free to install here, as in the official image.
    "--customize-hook=rm $1/usr/lib/python3*/EXTERNALLY-MANAGED",
    "trixie",
)  # fmt: skip
_MIRROR = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian")


def make_base(docker: Docker, folder: Path) -> str:
    """Makes the base, unless the daemon has it.

    Args:
        docker: the daemon.
        folder: for a file of 0.3 GB, for a while.

    Returns:
        The image's name.
    """
    name = f"signs-base:{hashlib.sha256(' '.join(_RECIPE).encode()).hexdigest()[:12]}"
    if docker.output("images", "--quiet", name):
        return name
    told = subprocess.run(_MIRROR, capture_output=True, text=True, check=True).stdout.split()
    mirror = told[0] if told else "http://deb.debian.org/debian"
    tar = folder / "base.tar"
    subprocess.run([*_RECIPE, tar, mirror], check=True, timeout=1800)
    docker.client("import", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin", str(tar), name)
    tar.unlink()
    return name
