"""Which pictures of a span are the same: by the digest of their bytes as they are kept.

    workers -> pictures-K.jsonl, an image a line -> copies -> groups of images with equal bytes

Two files whose pixels alone are equal, such as a JPEG and a PNG of it, count as two pictures.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

_DIGEST_BYTES = 16
_KEY = slice(2, 2 + 2 * _DIGEST_BYTES)  # of a line: behind its bracket and quotation mark
_MOST_BUCKETS = 256  # files that are open at once


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """One image of a span, without its bytes.

    Attributes:
        digest: Of its bytes, in hexadecimal: equal digests, the same picture.
        source_id: Where it came from.
        split: One of `signs.features.SPLITS`.
        class_name: What it shows.
    """

    digest: str
    source_id: str
    split: str
    class_name: str

    def to_line(self) -> str:
        """Returns a line of JSON that begins with the digest."""
        return json.dumps([self.digest, self.source_id, self.split, self.class_name]) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Reads what `to_line` returned."""
        return cls(*json.loads(line))


def digest_of(image: bytes) -> str:
    """Returns the digest of the bytes of a picture."""
    return hashlib.blake2b(image, digest_size=_DIGEST_BYTES).hexdigest()


def pictures_path(folder: Path, shard: int) -> Path:
    """Returns where the pictures of a shard are."""
    return folder / f"pictures-{shard:05d}.jsonl"


def copies(folder: Path, shards: Sequence[int], buckets: int) -> Iterator[list[Picture]]:
    """Yields all images of every picture that is there more than once, whatever shards they are in.

    Args:
        folder: The plan's.
        shards: Whose pictures to look at.
        buckets: Into how many files to deal the lines; one at a time is held in memory.
    """
    paths = [folder / f"bucket-{number:03d}" for number in range(min(buckets, _MOST_BUCKETS))]
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open("w", encoding="utf-8")) for path in paths]
        for shard in shards:
            with pictures_path(folder, shard).open(encoding="utf-8") as lines:
                for line in lines:
                    files[int(line[_KEY], 16) % len(files)].write(line)
    for path in paths:
        with path.open(encoding="utf-8") as lines:
            in_order = sorted(lines)
        for _, group in itertools.groupby(in_order, key=lambda line: line[_KEY]):
            same = [*group]
            if len(same) > 1:
                yield [Picture.from_line(line) for line in same]
