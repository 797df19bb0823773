"""What is known of each file's images, on the disk: nobody holds it for all of them.

    a file's images -> keys-K (73 bytes an image), smalls-K (1 KiB), pictures-K.jsonl

An image's number says where it is: in which file, and at which place there.
"""

import contextlib
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from data.leaks.bursts import number_of
from data.leaks.fingerprint import SIDE, Fingerprint
from data.pictures import Picture
from signs.features import SPLITS

NO_PHOTOGRAPH = -1
_PLACE_BITS = 32  # of an image's number; those above are its file's
_KEY = np.dtype(
    [
        ("digest", ">u8", 2),
        ("hashes", ">u8", 5),
        ("photograph", "<i8"),  # the camera's number, or NO_PHOTOGRAPH
        ("line", "<u8"),  # where in pictures-K.jsonl
        ("split", "u1"),  # of SPLITS
    ]
)
_NUMBER = np.dtype("<u8")


def first_of(file: int) -> int:
    """The smallest number that an image of a file can have."""
    return file << _PLACE_BITS


class Tables:
    """Of some files of images.

    Args:
        folder: Which every worker sees.
        files: How many.
    """

    def __init__(self, folder: str, files: int) -> None:
        self._folder = Path(folder)
        self.files = range(files)

    def write(self, file: int, prints: Iterable[Fingerprint]) -> None:
        """Writes a file's; a runner may do it twice, or twice at once."""
        keys = []
        with self._new("smalls", file) as smalls, self._new("pictures", file) as pictures:
            for one in prints:
                photograph = number_of(one.picture.source_id)
                keys.append(
                    (
                        np.frombuffer(bytes.fromhex(one.picture.digest), ">u8"),
                        np.frombuffer(one.hashes, ">u8"),
                        NO_PHOTOGRAPH if photograph is None else photograph,
                        pictures.tell(),
                        SPLITS.index(one.picture.split),
                    )
                )
                smalls.write(one.small)
                pictures.write(one.picture.to_line().encode())
        with self._new("keys", file) as into:
            into.write(np.array(keys, _KEY).tobytes())

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields of file after file the numbers of its images, uint64 [n], and their keys [n].

        Raises:
            FileNotFoundError: A file's are not there: who wrote them does not see this folder.
        """
        for file in self.files:
            keys = self._read("keys", file, _KEY)
            yield np.arange(len(keys), dtype=np.uint64) + np.uint64(first_of(file)), keys

    def smalls(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the small pictures of images.

        Args:
            numbers: uint64 [n].

        Returns:
            uint8 [n, 32, 32].
        """
        files, places = numbers >> np.uint64(_PLACE_BITS), numbers % np.uint64(2**_PLACE_BITS)
        found = np.empty((len(numbers), SIDE, SIDE), np.uint8)
        for file in np.unique(files).tolist():
            of_file = self._read("smalls", file, np.dtype(np.uint8)).reshape(-1, SIDE, SIDE)
            found[files == file] = of_file[places[files == file]]
        return found

    def picture(self, number: int) -> Picture:
        """Returns which image it is."""
        file, place = number >> _PLACE_BITS, number % 2**_PLACE_BITS
        with self._path("pictures", file).open("rb") as lines:
            lines.seek(int(self._read("keys", file, _KEY)["line"][place]))
            return Picture.from_line(lines.readline().decode())

    def save(self, kind: str, part: int, numbers: np.ndarray) -> None:
        """Keeps numbers of images for a later step, uint64 in any shape."""
        with self._new(kind, part) as file:
            file.write(numbers.astype(_NUMBER).tobytes())

    def saved(self, kind: str, part: int) -> np.ndarray:
        """Returns what was kept, uint64 [n]."""
        return self._read(kind, part, _NUMBER)

    def _read(self, kind: str, number: int, dtype: np.dtype) -> np.ndarray:
        path = self._path(kind, number)
        return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)

    def _path(self, kind: str, number: int) -> Path:
        return self._folder / f"{kind}-{number}"

    @contextlib.contextmanager
    def _new(self, kind: str, number: int) -> Iterator[BinaryIO]:
        path = self._path(kind, number)
        aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        with aside.open("wb") as file:
            yield file
        aside.replace(path)
