"""Programs in Go, built for the tests from Go's module proxy."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

_OUT_OF_REACH = re.compile("dial tcp|no such host|Forbidden|Not Found|go.mod requires go")


def go(module: Path, *words: str | Path, **environment: str) -> str:
    """What `go` prints, in a module's folder; skips the test where there is no Go, or no proxy."""
    program = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if program is None:
        pytest.skip("Go is not installed")
    ran = subprocess.run(
        ["nice", "-n", "5", program, *words], cwd=module, check=False, capture_output=True,
        text=True, env={**os.environ, "GOTOOLCHAIN": "local", **environment},
    )  # fmt: skip
    if ran.returncode and _OUT_OF_REACH.search(ran.stderr):
        pytest.skip(f"Go's modules cannot be had: {ran.stderr.strip().splitlines()[-1]}")
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def build(module: Path, folder: Path, *packages: str) -> None:
    """Builds packages of a module into a folder; skips the test where they cannot be had.

    Args:
        module: the folder of its go.mod.
        folder: takes the programs, each named as its package.
        packages: their paths; the module's own folder where none is named.
    """
    go(module, "build", "-p", "1", "-o", f"{folder}/", *(packages or (".",)))
