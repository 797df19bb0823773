"""Which pictures are alike: from equal parts of hashes to pixels that are compared.

    hashes -> rows by band -> candidates of a bucket -> are_near, by pixels

Two pictures are candidates if one band of 16 bits is equal, and at most `MOST_BITS` of 64 differ.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from data.leaks.fingerprint import SIDE

MOST_BITS = 10
# Grey levels, root of the mean square: JPEG at quality 50 changes less, and so does a resize.
MOST_DIFFERENCE = 6.0
# Of the contrast: in a picture of hardly any everything is a small difference.
MOST_SHARE = 0.2
_BANDS = 4
_MOST_PARTNERS = 3  # of a picture in a bucket
_MOST_COMPARED = 1000  # rows of a bucket with each other
_HASH_BYTES = 8
_ROW = np.dtype([("hash", ">u8"), ("digest", ">u8", 2), ("is_home", "u1")])


def rows_by_band(digest: str, hashes: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields under which buckets a picture is looked for, and what is looked at there.

    Args:
        digest: Of the pixels.
        hashes: As a Fingerprint has them.
    """
    bands = np.frombuffer(hashes, ">u2").reshape(-1, _BANDS)
    seen = set()
    for place, values in enumerate(bands.tolist()):
        hash_ = hashes[place * _HASH_BYTES : (place + 1) * _HASH_BYTES]
        for band, value in enumerate(values):
            key = band << 16 | value
            # A shifted part in the bucket of the middle, with the same hash, would add nothing.
            if (key, hash_) not in seen:
                seen.add((key, hash_))
                yield key, hash_ + bytes.fromhex(digest) + bytes([place == 0])


def candidates(rows: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yields the pairs of a bucket that are to be compared, by their digests, the smaller first.

    The work is linear in the size of the bucket: in one that is too large only pictures whose
    hashes follow each other are compared, and each has a few partners at most.
    """
    table = np.frombuffer(b"".join(rows), _ROW)
    if len(table) < 2:
        return
    table = table[np.lexsort([*table["digest"].T, table["is_home"], table["hash"]])]
    for start in range(0, len(table), _MOST_COMPARED):
        yield from _pairs(table[start : start + _MOST_COMPARED])


def _pairs(table: np.ndarray) -> Iterator[tuple[str, str]]:
    hashes, is_home = table["hash"].astype(np.uint64), table["is_home"] == 1
    homes = np.flatnonzero(is_home)
    if not len(homes):
        return
    names = [digest.tobytes().hex() for digest in table["digest"]]
    distance = np.bitwise_count(hashes[homes][:, None] ^ hashes[None]).astype(np.int16)
    is_same = (table["digest"][homes][:, None] == table["digest"][None]).all(axis=-1)
    distance[is_same] = MOST_BITS + 1
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :_MOST_PARTNERS]
    for row, others in enumerate(nearest):
        for other in others:
            if distance[row, other] <= MOST_BITS:
                one, two = sorted((names[homes[row]], names[other]))
                yield one, two


def are_near(one: bytes, two: bytes) -> bool:
    """Whether two small pictures show the same, shifted by up to two pixels of 64.

    Args:
        one: uint8 [32, 32], as a Fingerprint has it.
        two: Another.
    """
    first, second = (
        np.frombuffer(each, np.uint8).reshape(SIDE, SIDE).astype(np.float32) for each in (one, two)
    )
    middle, between = first[1:-1, 1:-1], _with_halves(second)
    length = 2 * len(middle)
    squares = min(
        float(np.square(middle - between[y : y + length : 2, x : x + length : 2]).mean())
        for y in range(5)
        for x in range(5)
    )
    contrast = min(float(middle.std()), float(second.std()))
    return squares**0.5 <= min(MOST_DIFFERENCE, MOST_SHARE * contrast)


def _with_halves(values: np.ndarray) -> np.ndarray:
    """Puts the mean of two neighbours between them, along both axes: [n, n] to [2 n - 1, 2 n - 1].

    A pixel of the small picture is two of the grid on which copies are shifted.
    """
    for _ in range(2):
        wide = np.repeat(values, 2, axis=0)[:-1]
        wide[1::2] = (values[:-1] + values[1:]) / 2
        values = wide.T
    return values
