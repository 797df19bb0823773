"""Addresses in an object store, and the folders at which KFP's launcher mounts them.

minio://bucket/key <-> /minio/bucket/key, as `LocalPathForURI` in backend/src/v2/component/
launcher_v2.go has it. The launcher copies inputs to these folders and outputs from them, so that
executors need no file system for object stores: TensorFlow has none any more for s3 and minio.
"""

import os
import re
from pathlib import Path

from signs.errors import UserError

# The stand-in for a cluster has the mounts of its tasks side by side, in a folder for each.
MOUNTS_VARIABLE = "SIGNS_MOUNTS"

_MOUNTS = {"minio": "minio", "s3": "s3", "gs": "gcs"}
_SCHEMES = {mount: scheme for scheme, mount in _MOUNTS.items()}


def to_path(uri: str) -> Path:
    """The folder or file that stands for an address.

    Raises:
        UserError: KFP mounts no addresses of this scheme.
    """
    scheme, separator, key = uri.partition("://")
    if not separator or scheme not in _MOUNTS:
        raise UserError(
            f"{uri!r} is no address that Kubeflow Pipelines mounts: the pipeline root must start "
            f"with {', '.join(f'{name}://' for name in _MOUNTS)}"
        )
    return _root() / _MOUNTS[scheme] / key


def to_uri(text: str) -> str:
    """Text in which every path under the mounts is an address again; other text as it was."""
    root = re.escape(str(_root()).rstrip("/"))
    mounts = "|".join(_SCHEMES)
    # A path that merely ends like a mount, as /data/s3/, is none.
    return re.sub(
        rf"(?<![\w./-]){root}/({mounts})/", lambda found: f"{_SCHEMES[found[1]]}://", text
    )


def _root() -> Path:
    return Path(os.environ.get(MOUNTS_VARIABLE, "/"))
