"""What a run needs, and what is said where a machine has less."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.config import Data, PipelineConfig
from pipeline.running import memory
from pipeline.running.room import lacking, needs_of
from signs.errors import UserError

GIB = 2**30
DATA = Data("photos", 1, ("cat", "dog"), {"train": 960, "eval": 120, "test": 120})
CONFIG = PipelineConfig(DATA)
SMALL = replace(CONFIG, train=replace(CONFIG.train, blocks=(1, 1), width=8))
MANY = replace(DATA, counts={"train": 8_000_000, "eval": 10**6, "test": 10**6})


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has 4 GiB of memory and 3 of disk free."""
    monkeypatch.setattr(memory, "available", lambda: (4 * GIB, False))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * GIB))


def test_a_usual_run_fits_and_says_nothing(tmp_path: Path) -> None:
    assert 1.5 * GIB < needs_of(CONFIG).memory < 4 * GIB  # README's figure
    assert needs_of(CONFIG).disk == 2 * GIB
    assert needs_of(SMALL).disk < GIB / 20
    assert lacking(CONFIG, tmp_path) == []


@pytest.mark.parametrize(
    ("config", "images", "side"),
    [
        (PipelineConfig(MANY, image_size=512), "10,000,000", 512),
        (replace(CONFIG, image_size=512), "1,200", 512),
    ],
)
def test_large_images_are_told_of(
    tmp_path: Path,
    config: PipelineConfig,
    images: str,
    side: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 * GIB))
    [words] = lacking(config, tmp_path)
    assert words.startswith(f"Note: {images} images of {side} pixels may take about ")
    assert "and 4.0 GiB are free: should it run out, " in words


def test_many_images_take_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = replace(DATA, counts={"train": 800_000, "eval": 10**5, "test": 10**5})
    assert needs_of(PipelineConfig(MANY)).memory == pytest.approx(
        needs_of(PipelineConfig(fewer)).memory, rel=0.01
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 * GIB))
    assert lacking(PipelineConfig(MANY), tmp_path) == []


def test_a_disk_that_is_full_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=GIB))
    assert lacking(SMALL, tmp_path) == []
    with pytest.raises(UserError) as caught:
        lacking(CONFIG, tmp_path)
    assert str(caught.value) == (
        "a run writes models, checkpoints and what its steps work on, about 2.0 GiB, and 1.0 GiB "
        f"are free at {tmp_path}: make room (`signs prune` helps), or use --workspace"
    )
    with pytest.raises(UserError, match=r"about 12\.1 GiB"):  # the search for copies of so many
        lacking(PipelineConfig(MANY), tmp_path)
