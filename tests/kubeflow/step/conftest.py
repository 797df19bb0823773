"""Fixtures for the tests of the adapter."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from signs import features
from tests.kubeflow.step.launcher import Launcher, Pipeline
from tests.kubeflow.step.spans import CLASSES, write_span


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """Mounts, and a folder for what is temporary, that go with the test."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("SIGNS_MOUNTS", str(tmp_path / "mounts"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return Launcher(tmp_path / "mounts")


@pytest.fixture(scope="session")
def spec() -> dict[str, Any]:
    """The pipeline, as it was compiled."""
    from kubeflow.compiling.compiler import compile_pipeline  # TFX takes seconds to import
    from kubeflow.compiling.options import ClusterOptions
    from pipeline.config import Data, PipelineConfig

    data = Data("signs", None, CLASSES, dict.fromkeys(features.SPLITS, 4))
    options = ClusterOptions(image="ghcr.io/signs/pipeline@sha256:" + "0" * 64)
    text = compile_pipeline(PipelineConfig(data), options)
    return next(yaml.safe_load_all(text))


@pytest.fixture
def pipeline(launcher: Launcher, spec: dict[str, Any]) -> Pipeline:
    """Its steps, one after the other."""
    return Pipeline(launcher, spec)


@pytest.fixture
def data(tmp_path: Path) -> dict[str, str]:
    """Spans whose order by number is not that of their names; the parameter that tells where."""
    root = tmp_path / "workspace" / "data" / "signs"
    for span, version in ((9, 5), (10, 1), (10, 2)):
        write_span(root, span, version)
    return {"input_base": str(root)}
