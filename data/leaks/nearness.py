"""Which pictures are alike: from equal parts of hashes to pixels that are compared.

    hashes -> rows by part -> candidates of a part's buckets -> are_near, by pixels

Two pictures are candidates if one band of 16 bits is equal, and at most `MOST_BITS` of 64 differ.
The pictures whose band has one value are a bucket; 4,096 buckets of a band are a part, so that a
runner has few groups to keep, each of few long strings: a picture takes 340 bytes in all.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from data.leaks.fingerprint import SIDE

MOST_BITS = 10
# Grey levels, root of the mean square: JPEG at quality 50 changes less, and so does a resize.
MOST_DIFFERENCE = 6.0
# Of the contrast: in a picture of hardly any everything is a small difference.
MOST_SHARE = 0.2
_BANDS, _BITS = 4, 16
_PARTS = 16  # of a band: by the first bits of its value
_MOST_PARTNERS = 3  # of a picture in a bucket
_MOST_COMPARED = 1000  # rows of a bucket with each other
_ROW = np.dtype([("hash", ">u8"), ("number", ">u8"), ("is_home", "u1")])


def rows_by_part(numbers: np.ndarray, hashes: np.ndarray) -> Iterator[tuple[int, bytes]]:
    """Yields under which parts pictures are looked for, and what is looked at there.

    Args:
        numbers: uint64 [n], by which pictures are told apart.
        hashes: uint64 [n, 5], as Fingerprints have them.
    """
    rows = np.empty(hashes.shape, _ROW)
    rows["hash"], rows["number"] = hashes, numbers[:, None]
    rows["is_home"] = np.arange(hashes.shape[1]) == 0
    # A shifted part in the bucket of the middle, with the same hash, would add nothing.
    places = range(hashes.shape[1])
    is_again = [(hashes[:, :place] == hashes[:, place, None]).any(1) for place in places]
    rows = rows[~np.stack(is_again, axis=1)]
    for band in range(_BANDS):
        part_of = _values(rows["hash"], band) // (2**_BITS // _PARTS)
        for part in np.unique(part_of).tolist():
            yield band * _PARTS + part, rows[part_of == part].tobytes()


def candidates(part: int, rows: bytes) -> Iterator[tuple[int, int]]:
    """Yields the pairs of a part that are to be compared, by their numbers, the smaller first.

    The work is linear in the size of a bucket: in one that is too large only pictures whose
    hashes follow each other are compared, and each has a few partners at most.

    Args:
        part: That `rows_by_part` yielded.
        rows: All that it yielded with it.
    """
    table = np.frombuffer(rows, _ROW)
    values = _values(table["hash"], part // _PARTS)
    order = np.lexsort([table["number"], table["is_home"], table["hash"], values])
    table, values = table[order], values[order]
    starts = np.flatnonzero(np.diff(values, prepend=-1)).tolist()
    for first, end in itertools.pairwise([*starts, len(table)]):
        for start in range(first, end, _MOST_COMPARED):
            yield from _pairs(table[start : min(start + _MOST_COMPARED, end)])


def _values(hashes: np.ndarray, band: int) -> np.ndarray:
    """int64, of hashes the bits of a band."""
    shift = np.uint64(_BITS * (_BANDS - 1 - band))
    return (hashes.astype(np.uint64) >> shift).astype(np.int64) & (2**_BITS - 1)


def _pairs(table: np.ndarray) -> Iterator[tuple[int, int]]:
    homes = np.flatnonzero(table["is_home"])
    if not len(homes) or len(table) < 2:
        return
    hashes, numbers = table["hash"].astype(np.uint64), table["number"].astype(np.uint64)
    distance = np.bitwise_count(hashes[homes][:, None] ^ hashes[None]).astype(np.int16)
    distance[numbers[homes][:, None] == numbers[None]] = MOST_BITS + 1
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :_MOST_PARTNERS]
    rows, places = np.nonzero(np.take_along_axis(distance, nearest, axis=1) <= MOST_BITS)
    one, two = numbers[homes[rows]], numbers[nearest[rows, places]]
    yield from zip(np.minimum(one, two).tolist(), np.maximum(one, two).tolist(), strict=True)


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
