"""A window's files in one folder: the spans' own, or without what a later span decides about."""

import errno
import os
import shutil
from pathlib import Path

from data import tfrecord
from data.manifest import Shard, verify
from data.sample import Sample
from data.window.window import Part, Window

_SPAN = "span-"  # what the files' names begin with
# Another file system, one without hard links, no more of them, or a file of somebody else's.
_NO_LINK = {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EPERM, errno.EACCES}


def verify_window(window: Window) -> None:
    """Holds the files of all spans against their checksums.

    Raises:
        IngestError: One is missing or damaged, or a folder holds what is not its own.
    """
    for part in window.parts:
        verify(part.directory)


def gather(window: Window, split: str, folder: Path) -> None:
    """Links the files of a split into a folder, or copies them to another file system.

    Of a file that holds pictures which a later span decides about, the others are written anew. The
    names sort by span: the order is the same wherever it is done.

    Args:
        window: Its files are verified.
        split: One of `signs.features.SPLITS`.
        folder: Is made.
    """
    folder.mkdir(parents=True)
    for part in window.parts:
        for number, shard in enumerate(part.manifest.shards):
            if shard.split == split:
                target = folder / f"{_SPAN}{part.manifest.span:05d}-{Path(shard.path).name}"
                _take(part, shard, part.left_out.get(number, frozenset()), target)


def of_newest_span(folder: Path) -> list[Path]:
    """Returns the files of the newest of several spans that `gather` has put into a folder.

    Of a single span there are none: nothing came before it.
    """
    by_span: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"{_SPAN}*-*")):
        by_span.setdefault(path.name.split("-")[1], []).append(path)
    return by_span[max(by_span)] if len(by_span) > 1 else []


def _take(part: Part, shard: Shard, left_out: frozenset[str], target: Path) -> None:
    source = part.directory / shard.path
    if not left_out:
        refer(source, target)
    elif len(left_out) < shard.records:
        with tfrecord.Writer(target) as file:
            for record in tfrecord.read(source):
                if Sample.parse(record).source_id not in left_out:
                    file.write(record)


def refer(path: Path, target: Path) -> None:
    """Makes a file appear at another place: the same file where that can be, else a copy."""
    try:
        os.link(path, target)
    except OSError as err:
        if err.errno not in _NO_LINK:
            raise
        shutil.copyfile(path, target)
