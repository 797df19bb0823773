"""The command line as its users meet it: what it prints, where to, and its exit codes."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.commands import main as cli

SIGNS = [sys.executable, "-m", "pipeline.commands"]


@pytest.fixture
def signs(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in an empty folder; returns its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGNS_WORKSPACE", raising=False)

    def run_command(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        return (code, *capfd.readouterr())

    return run_command
