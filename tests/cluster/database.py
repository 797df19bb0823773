"""Debian's MariaDB on loopback, which KFP's API server takes for MySQL."""

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from model_server.process import free_port
from tests.cluster.waiting import until

_USER = "mysql"  # of this machine; the server does not want to be root


class Database:
    """Serves while it is entered. Skips the test where it is not installed."""

    user = "kfp"

    def __init__(self) -> None:
        self.port, self.password = free_port(), secrets.token_hex(16)

    def __enter__(self) -> "Database":
        if not shutil.which("mariadbd") or not shutil.which("mariadb-install-db"):
            pytest.skip("MariaDB is not installed (Debian's mariadb-server)")
        if os.geteuid():
            pytest.skip("MariaDB is started as another user, which takes root")
        # Its user may not look into pytest's folders.
        self._folder = Path(tempfile.mkdtemp(prefix="signs-mariadb-"))
        try:
            shutil.chown(self._folder, _USER, _USER)
            self._start()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # nothing of it is kept
        self._process.wait()
        shutil.rmtree(self._folder)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def empty(self) -> None:
        """Drops what KFP keeps in it."""
        subprocess.run(
            ["mariadb", "--no-defaults", f"--user={self.user}", "--host=127.0.0.1",
             f"--port={self.port}", "--execute=DROP DATABASE IF EXISTS mlpipeline"],
            check=True, capture_output=True, env={**os.environ, "MYSQL_PWD": self.password},
        )  # fmt: skip

    def _start(self) -> None:
        data, log = self._folder / "data", self._folder / "log"
        common = ("--no-defaults", f"--user={_USER}", f"--datadir={data}")
        subprocess.run(
            ["mariadb-install-db", *common, "--skip-test-db"], check=True, capture_output=True
        )
        first = self._folder / "first.sql"
        first.write_text(
            f"CREATE USER '{self.user}'@'127.0.0.1' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON *.* TO '{self.user}'@'127.0.0.1';\n"
        )
        first.chmod(0o600)
        shutil.chown(first, _USER, _USER)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    "mariadbd", *common, "--bind-address=127.0.0.1", f"--port={self.port}",
                    f"--socket={self._folder}/socket", "--skip-name-resolve",
                    f"--init-file={first}",
                ],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            until(lambda: self._answers(log), "MariaDB answers")
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def _answers(self, log: Path) -> bool:
        assert self._process.poll() is None, log.read_text(errors="replace")
        return "ready for connections" in log.read_text(errors="replace")
