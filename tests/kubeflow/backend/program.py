"""Programs of Go beside this file, built from Go's module proxy where Go is."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kubeflow.backend.observe import FOLDER


def build(name: str, target: Path) -> Path:
    """Builds the program in the folder `name`; skips the test where its modules cannot be had."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        pytest.skip(f"Go is not installed: {name} cannot be built")
    built = subprocess.run(
        ["nice", go, "build", "-p", "1", "-o", target / name, "."],
        cwd=FOLDER / name, env={**os.environ, "GOTOOLCHAIN": "local"},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if re.search(r"dial tcp|no such host|Forbidden|Not Found|go.mod requires go", built.stderr):
        pytest.skip(f"modules of {name} cannot be had: {built.stderr.strip().splitlines()[-1]}")
    assert built.returncode == 0, built.stderr
    return target / name
