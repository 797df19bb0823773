"""Fixtures that every test may use."""

from pathlib import Path

import pytest

SIGNS_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "signs"


@pytest.fixture(scope="session")
def signs_data() -> Path:
    """The folder that holds the real SIGNS files; skips the test where it is absent."""
    if not (SIGNS_DATA / "64x64_SIGNS.zip").exists():
        pytest.skip("the real SIGNS images are not beside this checkout (../shared/data/signs)")
    return SIGNS_DATA
