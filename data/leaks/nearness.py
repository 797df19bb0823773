"""Which pictures are alike: from equal parts of hashes to pixels that are compared.

    hashes -> rows of a part -> candidates in its buckets -> are_near, by pixels

Two pictures are candidates if one band of 16 bits is equal, and at most `MOST_BITS` of 64 differ.
The pictures whose band has one value are a bucket. A part has some of the values of a band, so
that no one holds the rows of all pictures.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

MOST_BITS = 10
# Grey levels, root of the mean square: JPEG at quality 50 changes less, and so does a resize.
MOST_DIFFERENCE = 6.0
# Of the contrast: in a picture of hardly any everything is a small difference.
MOST_SHARE = 0.2
_BANDS, _BITS = 4, 16
_MOST_PARTNERS = 3  # of a picture in a bucket
_MOST_COMPARED = 1000  # rows of a bucket with each other
_ROW = np.dtype([("hash", "u8"), ("number", "u8"), ("is_home", "u1")])


@dataclass(frozen=True)
class Part:
    """Some of the buckets.

    Attributes:
        band: Of the hash.
        piece: Of the band's values, which are cut into `pieces`.
    """

    band: int
    piece: int
    pieces: int

    @classmethod
    def all(cls, pieces: int) -> Iterator[Self]:
        """Yields the parts in which every pair of candidates is to be looked for."""
        for band, piece in itertools.product(range(_BANDS), range(pieces)):
            yield cls(band, piece, pieces)

    def rows(self, numbers: np.ndarray, hashes: np.ndarray) -> np.ndarray:
        """Returns what is looked at here of some pictures.

        Args:
            numbers: uint64 [n], by which pictures are told apart.
            hashes: uint64 [n, 5], as Fingerprints have them.
        """
        is_here = self._values(hashes) * self.pieces >> _BITS == self.piece
        is_any = is_here.any(axis=1)
        numbers, hashes, is_here = numbers[is_any], hashes[is_any], is_here[is_any]
        rows = np.empty(hashes.shape, _ROW)
        rows["hash"], rows["number"] = hashes, numbers[:, None]
        rows["is_home"] = np.arange(hashes.shape[1]) == 0
        # A shifted part in the bucket of the middle, with the same hash, would add nothing.
        for place in range(hashes.shape[1]):
            is_here[:, place] &= (hashes[:, :place] != hashes[:, place, None]).all(axis=1)
        return rows[is_here]

    def candidates(self, rows: np.ndarray) -> np.ndarray:
        """Returns the pairs that are to be compared, by their numbers.

        The work is linear in the size of a bucket: in one that is too large only pictures whose
        hashes follow each other are compared, and each has a few partners at most.

        Args:
            rows: Of all pictures, in any order.

        Returns:
            uint64 [n, 2], each pair once and the smaller number first, in their order.
        """
        values = self._values(rows["hash"])
        order = np.lexsort([rows["number"], rows["is_home"], rows["hash"], values])
        rows, values = rows[order], values[order]
        starts = np.flatnonzero(np.diff(values, prepend=-1)).tolist()
        pairs = [
            _pairs(rows[start : min(start + _MOST_COMPARED, end)])
            for first, end in itertools.pairwise([*starts, len(rows)])
            for start in range(first, end, _MOST_COMPARED)
        ]
        return np.unique(np.concatenate([np.empty((0, 2), np.uint64), *pairs]), axis=0)

    def _values(self, hashes: np.ndarray) -> np.ndarray:
        """int64, the band's bits."""
        shift = np.uint64(_BITS * (_BANDS - 1 - self.band))
        return (hashes.astype(np.uint64) >> shift).astype(np.int64) & (2**_BITS - 1)


def _pairs(rows: np.ndarray) -> np.ndarray:
    homes = np.flatnonzero(rows["is_home"])
    if not len(homes) or len(rows) < 2:
        return np.empty((0, 2), np.uint64)
    hashes, numbers = rows["hash"], rows["number"]
    distance = np.bitwise_count(hashes[homes][:, None] ^ hashes[None]).astype(np.int16)
    distance[numbers[homes][:, None] == numbers[None]] = MOST_BITS + 1
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :_MOST_PARTNERS]
    found, places = np.nonzero(np.take_along_axis(distance, nearest, axis=1) <= MOST_BITS)
    return np.sort(np.stack([numbers[homes[found]], numbers[nearest[found, places]]], 1), axis=1)


def are_near(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether small pictures show the same, shifted by up to two pixels of 64.

    Args:
        ones: uint8 [n, 32, 32], as Fingerprints have them.
        others: As many.

    Returns:
        bool [n].
    """
    first, second = ones.astype(np.float32), others.astype(np.float32)
    middle, between = first[:, 1:-1, 1:-1], _with_halves(second)
    length = 2 * middle.shape[1]
    squares = np.full(len(ones), np.inf, np.float32)
    for y, x in itertools.product(range(5), repeat=2):
        difference = middle - between[:, y : y + length : 2, x : x + length : 2]
        squares = np.minimum(squares, np.square(difference).mean(axis=(1, 2)))
    contrast = np.minimum(middle.std(axis=(1, 2)), second.std(axis=(1, 2)))
    return np.sqrt(squares) <= np.minimum(MOST_DIFFERENCE, MOST_SHARE * contrast)


def _with_halves(values: np.ndarray) -> np.ndarray:
    """Puts the mean of two neighbours between them, along both axes: from n to 2 n - 1 of each.

    A pixel of the small picture is two of the grid on which copies are shifted.
    """
    for _ in range(2):
        wide = np.repeat(values, 2, axis=1)[:, :-1]
        wide[:, 1::2] = (values[:, :-1] + values[:, 1:]) / 2
        values = wide.swapaxes(1, 2)
    return values
