"""Which folders under a base path are versions of a model: those that are named by a number.

The rule is TF Serving's (`file_system_storage_path_source.cc`): any way to write an int64 counts,
so 007 is version 7, and what has another name, as a push that goes on, is passed over.
"""

import re
from pathlib import Path

_NUMBER = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+[ \t\n\v\f\r]*")
_INT64 = range(-(2**63), 2**63)
_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")


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
