"""`kubeflow/` is found where the code runs from a checkout, and missed in a line elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.running import checkout
from signs.errors import UserError


def test_found_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from pipeline.running.checkout import *; print(kubeflow('commands.main').__name__)",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "kubeflow.commands.main\n", done.stderr


def test_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    with pytest.raises(UserError, match="use `signs` from a checkout"):
        checkout.kubeflow("commands.main")
