"""A digest of code: changed code must not find its old results reused.

TFX's cache key holds the dotted path of `run_fn`, not what stands behind it.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import drawing
import modules
import signs

# What a component's user code may import.
USER_CODE = tuple(Path(package.__path__[0]) for package in (drawing, modules, signs))


def code_digest(folders: Iterable[Path] = USER_CODE) -> str:
    """SHA-256 of the names and contents of all Python files in folders, at any depth."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(folder.parent)).encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()
