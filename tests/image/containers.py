"""Runs steps of the pipeline each in a container of its own, as KFP's pods would.

What the stand-in for KFP would start on this machine, `start` starts in the image: the image's
user, no capabilities, no new privileges, a root that cannot be written, KFP's writable folders and
the claim, the pipeline's own limits, no network.
"""

import math
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kubernetes.utils.quantity import parse_quantity

from kubeflow.standin.pod import Container
from tests.image.docker import Docker

USER = 10001  # of the image
# Folders that KFP's compiler mounts writable into each step (argocompiler/container.go). KFP leaves
# the root writable: where it is not, a pod needs /tmp as well.
_WRITABLE = ("/.cache", "/.config", "/.local", "/tmp")
LOCKED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none")
_CGROUPS = Path("/sys/fs/cgroup")
_TICK_S = 0.2


@dataclass
class Usage:
    """What a container has taken. Both peaks are in bytes."""

    limit: int = 0
    seconds: float = 0
    held: int = 0  # memory of its processes, looked at five times a second
    peak: int = 0  # as the kernel counted against the limit, files that it had read among it


class Containers:
    """Starts containers of one image, and remembers what they have taken."""

    def __init__(self, docker: Docker, image: str) -> None:
        self._docker, self._image = docker, image
        self.usage: dict[str, Usage] = {}  # by the step's name; of its last attempt

    def start(self, container: Container) -> "subprocess.Popen[bytes]":
        """Starts a step's container; see `kubeflow.standin.pod.Cluster.start`."""
        folders = dict(container.mounts.places)
        for path in _WRITABLE:
            folders[path] = container.folder / "writable" / path.lstrip("/")
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        own(container.folder)
        limits = container.task.container.resources
        memory = int(parse_quantity(limits.resource_memory_limit or limits.memory_limit))
        cpus = min(float(parse_quantity(limits.resource_cpu_limit)), os.cpu_count() or 1)
        options = [f"--memory={memory}", f"--memory-swap={memory}", f"--cpus={cpus}"]
        for mount in container.task.platform.empty_dir_mounts:
            if mount.mount_path == "/dev/shm":
                options.append(f"--shm-size={int(parse_quantity(mount.size_limit))}")
        usage = self.usage[container.task.name] = Usage(limit=memory)
        return self.run(container.command, folders, container.environment, options,
                        container.folder, container.log, usage)  # fmt: skip

    def run(
        self,
        command: Sequence[str],
        folders: Mapping[str, Path],
        environment: Mapping[str, str],
        options: list[str],
        folder: Path,
        log: BinaryIO,
        usage: Usage,
    ) -> "subprocess.Popen[bytes]":
        """Starts a command in a container, locked in, and follows what it takes."""
        file = folder / "container"  # its id, once it is there
        file.unlink(missing_ok=True)
        mounts = [
            f"--mount=type=bind,source={here},target={path}" for path, here in folders.items()
        ]
        given = [f"--env={name}={value}" for name, value in environment.items()]
        process = self._docker.start(
            ["run", "--rm", f"--cidfile={file}", *LOCKED, *options, *mounts, *given, self._image,
             *command],
            log,
        )  # fmt: skip
        threading.Thread(target=_follow, args=(process, file, usage), daemon=True).start()
        return process


def own(folder: Path) -> None:
    """Gives a folder and all in it to the image's user, as `fsGroup` does with a volume."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            shutil.chown(path, USER, USER)


def _follow(process: "subprocess.Popen[bytes]", file: Path, usage: Usage) -> None:
    begin = time.monotonic()
    name = ""
    while process.poll() is None:
        try:
            name = name or file.read_text()
            held, peak = _memory(name) if name else (0, 0)
            usage.held, usage.peak = max(usage.held, held), max(usage.peak, peak)
        except (OSError, KeyError):
            pass  # not there yet, or gone
        time.sleep(_TICK_S)
    usage.seconds = time.monotonic() - begin


def _memory(container: str) -> tuple[int, int]:
    """What a container's processes hold, and its peak, in either version of control groups."""
    old = _CGROUPS / "memory" / "docker" / container
    folder = old if old.is_dir() else _CGROUPS / "docker" / container
    lines = (folder / "memory.stat").read_text().splitlines()
    stat = dict(line.split() for line in lines)
    held = stat["total_rss"] if folder is old else stat["anon"]
    peak = folder / ("memory.max_usage_in_bytes" if folder is old else "memory.peak")
    return int(held), int(peak.read_text())


def mib(size: float) -> int:
    """Bytes in MiB, rounded up."""
    return math.ceil(size / 2**20)
