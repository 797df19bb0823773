"""Every benchmark tells what it does, started as its users start it."""

import subprocess
import sys
from pathlib import Path

import pytest

# `usage.py` is what two of them share.
BENCHMARKS = [
    script
    for script in sorted((Path(__file__).parents[2] / "benchmarks").glob("[a-z]*.py"))
    if script.name != "usage.py"
]


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda script: script.stem)
def test_help(script):
    as_module = f"python -m benchmarks.{script.stem}"  # if it says so, since it uses others' code
    started = ["-m", f"benchmarks.{script.stem}"] if as_module in script.read_text() else [script]
    told = subprocess.run(
        [sys.executable, *started, "--help"],
        cwd=script.parents[1],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert script.name in told.stdout
