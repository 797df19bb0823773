"""What lies beside the files of people and is none of them: one rule for ingestion and client."""

from collections.abc import Sequence

# No photograph is larger, and no folder of photographs deeper.
MAX_FILE_BYTES = 100 * 2**20
DEEPEST = 50

_NAMES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"}


def litter(parts: Sequence[str]) -> str | None:
    """Returns the kind of litter a path is, None if it may be data.

    Args:
        parts: the names of the folders and of the file, below where the search began.
    """
    for name in parts:
        if (name.startswith(".") and name != "..") or name.casefold() in _NAMES:
            return name if name in (".DS_Store", "Thumbs.db", "__MACOSX") else "hidden"
    return None
