"""Versions of a model: their names, and which folders under a base path are some.

People read and type `v3`. TF Serving knows the number alone: so do folders, addresses and JSON.

Which folders count is TF Serving's rule (`file_system_storage_path_source.cc`): any way to write an
int64, so 007 is version 7; what has another name, as a push that goes on, is passed over.
"""

import re
from pathlib import Path

from signs.errors import UserError

_NAME = re.compile(r"[vV]?([0-9]+)")
_NUMBER = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+[ \t\n\v\f\r]*")
_INT64 = range(-(2**63), 2**63)
_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")


class VersionError(UserError):
    """What should name a version does not."""


def version_name(number: int) -> str:
    """A version as people read it: `v3`."""
    return f"v{number}"


def version_number(name: str) -> int:
    """The number of `v3`, or of `3`.

    Raises:
        VersionError: it is neither.
    """
    found = _NAME.fullmatch(name.strip())
    if found is None or (number := int(found[1])) not in _INT64:
        raise VersionError(f"A version is a number, such as v3 or 3. Received: {name!r}")
    return number


def version_folders(base_path: Path) -> list[tuple[int, Path]]:
    """Lists every entry that names a version, ordered by name: 7 and 007 are both there.

    Raises:
        OSError: there is no such folder, or it cannot be read.
    """
    found = []
    for name in sorted(entry.name for entry in base_path.iterdir()):
        if _NUMBER.fullmatch(name) and (version := int(name)) in _INT64:
            found.append((version, base_path / name))
    return found


def is_complete(folder: Path) -> bool:
    """Whether it holds a model: those who copy one file by file write this file last.

    Raises:
        OSError: it cannot be looked into.
    """
    return any((folder / name).exists() for name in _MODEL_FILES)


def complete_versions(base_path: Path) -> dict[int, Path]:
    """The folder of each version that holds a model, in ascending order of the numbers.

    Raises:
        OSError: it cannot be read. A base path that is missing has no versions.
    """
    if not base_path.is_dir():
        return {}
    folders = dict(version_folders(base_path))  # of two spellings the later, as in TF Serving
    return {number: folders[number] for number in sorted(folders) if is_complete(folders[number])}
