"""A run's folder."""

from pathlib import Path

import pytest


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "runs" / "signs-synthetic" / "20261122-221400-ab12"
    directory.mkdir(parents=True)
    return directory
