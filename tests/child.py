"""Starts a module of the tests as a process of its own: `python -m tests.child MODULE ARGUMENTS`.

Its `main` is called with the arguments. TensorFlow is imported in two thirds of the time (see
signs.heavy_imports).
"""

import importlib
import sys

from signs.heavy_imports import heavy_imports


def command(module: str, *arguments: object) -> list[str]:
    """What starts it, from the checkout's folder."""
    return [sys.executable, "-m", "tests.child", module, *map(str, arguments)]


if __name__ == "__main__":
    with heavy_imports():
        imported = importlib.import_module(sys.argv[1])
    imported.main(*sys.argv[2:])
