"""Whether what an ingestion writes fits on the disk: asked before any of it is written."""

import errno
import os
import shutil
from pathlib import Path

from data import IngestError

# Beside the image itself: names and labels, a line of the plan, one of the pictures, some slack.
_BESIDE = 800  # bytes
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_room(folder: Path, images: int, image_bytes: int) -> None:
    """Refuses to begin what can only end at a full disk.

    Args:
        folder: Takes the files; its disk is looked at.
        images: How many there are.
        image_bytes: What they take together. (Those that become PNGs may take more.)

    Raises:
        IngestError: There is less room than that.
    """
    needed, free = image_bytes + images * _BESIDE, shutil.disk_usage(folder).free
    if needed > free:
        raise IngestError(
            f"{images:,} images take about {in_units(needed)} as TFRecords, and {in_units(free)} "
            f"are free at {folder}: make room, or name another disk with --workspace"
        )


def is_full(error: Exception) -> bool:
    """Whether it is of a full disk. A worker's, and Beam's, have that in their text alone."""
    return getattr(error, "errno", None) in _FULL or any(
        os.strerror(number) in str(error) for number in _FULL
    )


def in_units(size: float) -> str:
    """A number of bytes as `25 MiB` or `2.5 GiB`."""
    return f"{size / 2**20:,.0f} MiB" if size < 2**30 else f"{size / 2**30:,.1f} GiB"
