"""The object store as KFP knows it: its addresses, and the folders at which a step sees them.

    minio://bucket/key <-> /minio/bucket/key

KFP's launcher copies inputs to these folders and outputs from them (`LocalPathForURI` in
backend/src/v2/component/launcher_v2.go), so that executors need no file system for object stores:
TensorFlow has none any more for s3 and minio.
"""

import os
import re
from pathlib import Path

from signs.errors import UserError

MOUNTS = {"minio": "/minio", "s3": "/s3", "gs": "/gcs"}  # scheme: the folder in the container
SCHEME = rf"(?P<scheme>{'|'.join(MOUNTS)})://"  # a pattern
IN_WORDS = "minio://, s3:// or gs://"
DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"  # KFP's own
# What the container printed, which the launcher keeps beside every step's outputs.
EXECUTOR_LOGS = "executor-logs"
# The stand-in for a cluster has the mounts of its steps side by side, in a folder for each.
MOUNTS_VARIABLE = "SIGNS_MOUNTS"

_ADDRESS = re.compile(rf"{SCHEME}[^/\s]+(/\S*)?")
_SCHEMES = {mount: scheme for scheme, mount in MOUNTS.items()}


class AddressError(UserError):
    """It is no address of an object store that KFP mounts."""


def is_address(text: str) -> bool:
    """Whether it names a bucket that KFP's launcher reaches, or something in it."""
    return _ADDRESS.fullmatch(text) is not None


def in_container(uri: str) -> str:
    """The folder or file of a step's container that stands for an address.

    Raises:
        AddressError: KFP mounts no addresses of this scheme.
    """
    scheme, separator, key = uri.partition("://")
    if not separator or scheme not in MOUNTS:
        raise AddressError(
            f"{uri!r} is no address that Kubeflow Pipelines mounts: the pipeline root must start "
            f"with {IN_WORDS}"
        )
    return f"{MOUNTS[scheme]}/{key}"


def to_path(uri: str) -> Path:
    """The same folder or file, as the step that asks sees it.

    Raises:
        AddressError: KFP mounts no addresses of this scheme.
    """
    return Path(_root() + in_container(uri))


def to_uri(text: str) -> str:
    """Text in which every path under the mounts is an address again; other text as it was."""
    mounts = "|".join(_SCHEMES)
    # A path that merely ends like a mount, as /data/s3/, is none.
    return re.sub(
        rf"(?<![\w./-]){re.escape(_root())}({mounts})/",
        lambda found: f"{_SCHEMES[found[1]]}://",
        text,
    )


def _root() -> str:
    return os.environ.get(MOUNTS_VARIABLE, "").rstrip("/")
