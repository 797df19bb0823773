"""A Docker daemon of our own, without a network for its containers, and its client.

Debian's packages: `dockerd`, and the client beside it, whose BuildKit needs no plugin.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from signs.process import killed_with_parent

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = ("dockerd", "docker", "containerd", "runc", "mmdebstrap")
_START_S = 60


class Docker:
    """The daemon. Containers share the machine's network or have none."""

    def __init__(self, data: Path) -> None:
        """Starts it.

        Args:
            data: its folder, which it keeps.
        """
        self._own = Path(tempfile.mkdtemp(prefix="signs-docker-"))  # sockets have short paths
        host = f"unix://{self._own}/docker.sock"
        self._environment = {
            **os.environ,
            "PATH": PATH,
            "DOCKER_HOST": host,
            "DOCKER_BUILDKIT": "1",
            "DOCKER_CONFIG": str(self._own),
        }
        data.mkdir(parents=True, exist_ok=True)
        self.log = data / "dockerd.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "dockerd", f"--data-root={data}/data", f"--exec-root={self._own}/exec",
                    f"--pidfile={self._own}/docker.pid", f"--host={host}",
                    "--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false",
                    "--exec-opt=native.cgroupdriver=cgroupfs",
                ],
                env=self._environment, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=killed_with_parent,
            )  # fmt: skip
        end = time.monotonic() + _START_S
        while self.client("info", check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"dockerd does not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Ends the daemon, and its containers with it."""
        if self._process.poll() is None:
            for container in self.output("ps", "--quiet").split():
                self.client("kill", container, check=False)
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        shutil.rmtree(self._own, ignore_errors=True)

    def client(
        self, *arguments: str, check: bool = True, stdin: str | None = None, timeout_s: float = 3600
    ) -> subprocess.CompletedProcess[str]:
        """Runs `docker ARGUMENTS` to its end; its two outputs as text."""
        done = subprocess.run(
            ["docker", *arguments], env=self._environment, input=stdin, text=True,
            capture_output=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert not check or not done.returncode, f"docker {arguments}: {done.stderr[-4000:]}"
        return done

    def output(self, *arguments: str) -> str:
        """What `docker ARGUMENTS` prints."""
        return self.client(*arguments).stdout

    def start(self, arguments: Sequence[str], stdout: BinaryIO | int) -> subprocess.Popen[bytes]:
        """Starts `docker ARGUMENTS`; all that it prints goes to `stdout`."""
        return subprocess.Popen(
            ["docker", *arguments], env=self._environment, stdin=subprocess.DEVNULL,
            stdout=stdout, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=killed_with_parent,
        )  # fmt: skip
