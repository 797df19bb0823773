"""Where a container's paths lie on this machine, which mounts nothing.

    minio://bucket/key -> /minio/bucket/key (in a container) -> {folder}/minio/bucket/key (here)

What a step is handed names paths in its container. They are rewritten, in parameters and arguments
alike, to where the stand-in keeps what a cluster would mount there.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from kubeflow.object_store import MOUNTS


class Mounts:
    """Folders of a container, each with the folder of this machine that stands for it."""

    def __init__(self, root: Path, others: Mapping[str, Path]) -> None:
        """Constructs the mounts.

        Args:
            root: stands for the container's: holds what KFP gives each container as empty
                folders, `/minio` and its like.
            others: by path in the container: volumes, and the image's code.
        """
        self.root = root
        own = {path: root / path.lstrip("/") for path in MOUNTS.values()}
        self.places: Mapping[str, Path] = {**own, **others}
        # The longest first, so that a mount inside another goes before it.
        paths = sorted(map(re.escape, self.places), key=len, reverse=True)
        # A path begins where no other path or address goes on, and ends at a whole name.
        self._pattern = re.compile(rf"(?<![\w./~-])({'|'.join(paths)})(?![\w.-])")

    def here(self, path: str) -> Path:
        """The file or folder of this machine for an absolute path in the container."""
        return Path(self.rewrite(path))

    def rewrite(self, text: str) -> str:
        """The same text, every path below a mount replaced."""
        return self._pattern.sub(lambda match: str(self.places[match[1]]), text)
