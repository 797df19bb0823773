"""Every benchmark tells what it does, started as its users start it."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("[a-z]*.py"))


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda script: script.stem)
def test_help(script):
    command = [sys.executable, str(script), "--help"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert script.name in told.stdout
