"""Fixtures for the tests of the adapter."""

import tempfile
from pathlib import Path

import pytest

from tests.kubeflow.step.launcher import Launcher


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """Mounts, and a folder for what is temporary, that go with the test."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("SIGNS_MOUNTS", str(tmp_path / "mounts"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return Launcher(tmp_path / "mounts")
