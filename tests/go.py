"""Programs of others, built from Go's module proxy where Go is."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

_CANNOT_BE_HAD = r"dial tcp|no such host|Forbidden|Not Found|go.mod requires go"


def build(module: Path, folder: Path, *packages: str) -> None:
    """Builds packages of a module into a folder; skips the test where they cannot be had.

    Args:
        module: the folder of its go.mod.
        folder: takes the programs, each named as its package.
        packages: their paths.
    """
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        pytest.skip(f"Go is not installed: {', '.join(packages)} cannot be built")
    built = subprocess.run(
        ["nice", go, "build", "-p", "1", "-o", folder, *packages],
        cwd=module, env={**os.environ, "GOTOOLCHAIN": "local"},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if re.search(_CANNOT_BE_HAD, built.stderr):
        last = built.stderr.strip().splitlines()[-1]
        pytest.skip(f"the modules of {', '.join(packages)} cannot be had: {last}")
    assert built.returncode == 0, built.stderr
