"""Reaches `kubeflow/`, which no package installs: it is there where the code runs from a checkout.

An SDK on the package index has that name, and a wheel of ours would overwrite it. It stands above
`pipeline` and imports it, so that it is loaded here by name, by the commands that need it.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from signs.errors import UserError

ROOT = Path(__file__).parents[2]


def has_kubeflow() -> bool:
    """Whether the code runs from a checkout (or from the image, which has one)."""
    return (ROOT / "kubeflow" / "commands" / "main.py").is_file()


def kubeflow(module: str) -> ModuleType:
    """Imports `kubeflow.{module}`.

    Raises:
        UserError: it is not there.
    """
    if not has_kubeflow():
        raise UserError(
            "what runs on Kubeflow is not part of the installed packages: use `signs` from a "
            "checkout of the repository"
        )
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return importlib.import_module(f"kubeflow.{module}")
