"""Which versions of a model to serve: the folders under its base path, and its version policy.

    base path -> entries that are numbers -> policy (latest, all, specific) -> {version: folder}

The rules are those of TF Serving's `file_system_storage_path_source.cc`, with one exception. Those
who push a model copy it file by file, and good ones (TFX's Pusher) write `saved_model.pb` last.
TF Serving tries whatever it finds, and a push that is slower than its tries is lost. Here a folder
without that file is left alone while something in it changed during the last seconds; after that
it is tried, and fails with TF Serving's error. (One that is copied in another order is tried too
early; `model_store` does not hold that against it.)
"""

import time
from collections.abc import Callable, Container, Iterator
from itertools import islice
from pathlib import Path

from signs import protos
from signs.versions import is_complete, version_folders

# How long an incomplete folder must be quiet to be taken for broken: longer than any pause of a
# copy that goes on, and no longer than one who waits for the error would mind.
GRACE_S = 3.0


class BasePathError(Exception):
    """A base path that cannot be listed; the text is TF Serving's."""


def wanted_versions(
    model: protos.ModelConfig,
    known: Container[int],
    warn: Callable[[str], None],
    grace_s: float = GRACE_S,
) -> dict[int, Path]:
    """Looks at a model's base path.

    Args:
        model: its ModelConfig: name, base_path and model_version_policy.
        known: versions that were found before; they are not judged anew.
        warn: takes what the operator should be told.
        grace_s: how long an incomplete folder is left alone after its last change.

    Returns:
        The folder of each version that should be served, the highest version first.

    Raises:
        BasePathError: there is no such folder, or it cannot be read.
    """
    policy = model.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific" and not policy.specific.versions:
        warn(f"No specific versions requested for servable {model.name}.")
        return {}
    folders = _numbered_folders(model, keep_first=choice == "all", warn=warn)

    def ready() -> Iterator[int]:
        for version in sorted(folders, reverse=True):
            if version in known or not _being_copied(folders[version], grace_s):
                yield version

    if choice == "all":
        chosen = list(ready())
    elif choice == "specific":
        chosen = [version for version in ready() if version in policy.specific.versions]
        for version in sorted(set(policy.specific.versions) - set(chosen)):
            warn(
                f"Version {version} of servable {model.name}, which was requested to be served as "
                "a 'specific' version in the servable's version policy, was not found in the file "
                "system"
            )
    else:
        chosen = list(islice(ready(), max(policy.latest.num_versions, 1)))
    if not chosen:
        warn(
            f"No versions of servable {model.name} found under base path {model.base_path}. Did "
            "you forget to name your leaf directory as a number (eg. '/1/')?"
        )
    return {version: folders[version] for version in chosen}


def _numbered_folders(
    model: protos.ModelConfig, *, keep_first: bool, warn: Callable[[str], None]
) -> dict[int, Path]:
    """The folder of each version; of two spellings of a number (7, 007) only one."""
    base_path = Path(model.base_path.removeprefix("file://"))
    try:
        found = version_folders(base_path)
    except (FileNotFoundError, ValueError) as error:  # ValueError: a null character in the path
        raise BasePathError(
            f"Could not find base path {model.base_path} for servable {model.name} with error "
            f"NOT_FOUND: {model.base_path} not found"
        ) from error
    except OSError as error:
        raise BasePathError(f"{model.base_path}; {error.strerror}") from error
    folders: dict[int, Path] = {}
    for version, folder in found:
        if version in folders and not keep_first:
            warn(
                f"Duplicate version directories detected. Version {version} will be loaded from "
                f"{folder.name}, {folders[version].name} will be ignored."
            )
        if version not in folders or not keep_first:
            folders[version] = folder
    return folders


def is_changing(folder: Path, grace_s: float) -> bool:
    """Whether something in the folder of a version changed less than `grace_s` seconds ago."""
    try:
        # Not the time of modification, which some copy along with the contents.
        entries = [folder, *folder.glob("*"), *folder.glob("*/*")]
        newest = max(entry.lstat().st_ctime for entry in entries)
    except FileNotFoundError:  # an entry vanished meanwhile: it is changing right now
        return folder.exists()
    except OSError:  # may not be read: loading it says why
        return False
    return 0 <= time.time() - newest < grace_s


def _being_copied(folder: Path, grace_s: float) -> bool:
    """Without its `saved_model.pb`, and still changing."""
    try:
        return not is_complete(folder) and is_changing(folder, grace_s)
    except OSError:  # may not be read: loading it says why
        return False
