"""The HDF5 files of the DeepLearning.AI course: train_signs.h5 and test_signs.h5, or one of them.

train_set_x uint8 [n, height, width, 3], train_set_y int64 [n], list_classes [classes];
test_set_x, test_set_y likewise

What people save in this form is read as well: grey images [n, height, width] and
[n, height, width, 1], channels first [n, 3, height, width], and numbers of another type from 0 to 1
or whole ones from 0 to 255.
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from data import IngestError
from data.sources.names import display_name
from data.sources.source import (
    Emit,
    Item,
    Progress,
    Rejection,
    Surveyed,
    UnreadableError,
    check_classes,
    file_sha256,
)
from data.splits import Proportions
from signs.features import MAX_PIXELS, TEST, TRAIN
from signs.image_bytes import encode_png

_CLASSES = "list_classes"
_SIGNS_SHAPE = (64, 64, 3)
# HDF5 stores no bytes for rows that were never written: a file can claim billions of them.
_MOST_COMPRESSION = 1_000
_BLOCK_BYTES = 32 * 2**20


@dataclasses.dataclass(frozen=True)
class Hdf5Source:
    """Arrays of images in one or two HDF5 files; each image becomes a PNG."""

    paths: tuple[Path, ...]

    def survey(self, emit: Emit) -> Surveyed:
        """Lists the rows: the training set, then the test set."""
        halves = sorted(((key, path) for path in self.paths for key in _halves(path)), reverse=True)
        keys = [key for key, _ in halves]
        if len(set(keys)) < len(keys):
            raise IngestError(
                f"{' and '.join(str(path) for path in self.paths)} hold the same half, "
                f"{keys[0]}_set_x. Give one file of each."
            )
        proportions = Proportions.missing(keys)
        names = {_class_names(path) for _, path in halves}
        if len(names) > 1:
            raise IngestError(
                f"`{_CLASSES}` differs between {' and '.join(str(path) for _, path in halves)}"
            )
        class_names = names.pop()
        check_classes(class_names, str(self.paths[0]))
        fingerprint, shapes = hashlib.sha256(), set()
        for key, path in halves:
            emit(Progress(f"Reading {path.name}", 0))
            fingerprint.update(file_sha256(path).encode())
            images, labels = _arrays(path, key)
            shapes.add(images.shape[1:])
            split = None if key == TRAIN and proportions else key
            size = int(np.prod(images.shape[1:]))
            scale = _scale(images, f"{key}_set_x in {path}", emit)
            for row, label in enumerate(labels.tolist()):
                source_id = f"{key}_set_x[{row}]"
                if not 0 <= label < len(class_names):
                    reason = f"label {label} is outside the classes 0 to {len(class_names) - 1}"
                    emit(Rejection(source_id, reason))
                    continue
                reference = f"{key}/{row}/{scale}"
                emit(Item(source_id, class_names[label], split, reference, size))
        is_signs = shapes == {_SIGNS_SHAPE} and len(class_names) == 6
        return Surveyed(
            name=self.paths[0].stem,
            description="HDF5 " + " and ".join(display_name(path.name) for path in self.paths),
            class_names=class_names,
            fingerprint=fingerprint.hexdigest(),
            proportions=proportions,
            is_signs=is_signs,
        )

    def read(self, item: Item) -> bytes:
        """Reads one row as PNG."""
        key, row, scale = str(item.reference).split("/")
        for path in self.paths:
            if f"{key}_set_x" in _open(path):
                try:
                    images, _ = _arrays(path, key)
                    return encode_png(_pixels(images[int(row)], float(scale)))
                except OSError as err:
                    raise UnreadableError(f"damaged in the file: {err}") from err
        raise UnreadableError("gone while it was ingested")

    def close(self) -> None:
        """Closes the files that are open in this process: nobody can write to them before."""
        _arrays_in.cache_clear()
        _open_unchanged.cache_clear()


@functools.lru_cache(maxsize=4)
def _open_unchanged(path: Path, size: int, changed_ns: int) -> h5py.File:
    return h5py.File(path, "r")


def _open(path: Path) -> h5py.File:
    try:
        status = path.stat()
        return _open_unchanged(path, status.st_size, status.st_mtime_ns)
    except OSError as err:
        raise IngestError(
            f"{path} is not an HDF5 file that can be read: it is truncated, damaged or of another "
            "kind. Download it again?"
        ) from err


def _halves(path: Path) -> Sequence[str]:
    file = _open(path)
    halves = [key for key in (TRAIN, TEST) if f"{key}_set_x" in file]
    if not halves:
        found = ", ".join(sorted(file)[:5]) or "nothing"
        raise IngestError(
            f"{path} has neither train_set_x nor test_set_x, as the course's files have. "
            f"It holds: {found}"
        )
    return halves


def _dataset(path: Path, key: str) -> h5py.Dataset:
    file = _open(path)
    if key not in file:
        raise IngestError(f"{path} has no {key!r}. It holds: {', '.join(sorted(file)[:5])}")
    # Another file may be anything on this machine.
    if isinstance(file.get(key, getlink=True), h5py.ExternalLink):
        raise IngestError(f"{key!r} in {path} is a link to another file, which is not followed")
    dataset = file[key]
    if not isinstance(dataset, h5py.Dataset):
        raise IngestError(f"{key!r} in {path} must be an array, not a group")
    if dataset.nbytes > path.stat().st_size * _MOST_COMPRESSION:
        raise IngestError(
            f"{key!r} in {path} claims {dataset.nbytes:,} bytes, more than the file can hold"
        )
    return dataset


def _arrays(path: Path, key: str) -> tuple[h5py.Dataset, np.ndarray]:
    """Returns images, still in the file and in any form that is read, and labels int64 [n]."""
    return _arrays_in(_open(path), path, key)


@functools.lru_cache(maxsize=8)
def _arrays_in(file: h5py.File, path: Path, key: str) -> tuple[h5py.Dataset, np.ndarray]:
    images, labels = _dataset(path, f"{key}_set_x"), _dataset(path, f"{key}_set_y")
    if images.dtype.kind not in "uif":
        raise IngestError(f"{key}_set_x in {path} must hold numbers. Received: {images.dtype}")
    shape = images.shape
    if len(shape) not in (3, 4) or _channels(shape) not in (1, 3) or 0 in shape[1:]:
        raise IngestError(
            f"{key}_set_x in {path} must have the shape [n, height, width, 3], or [n, height, "
            f"width] or [n, height, width, 1] of grey images. Received: {list(shape)}"
        )
    if np.prod(shape[1:]) // _channels(shape) > MAX_PIXELS:
        raise IngestError(f"{key}_set_x in {path} has images of {list(shape[1:])} pixels")
    if not np.issubdtype(labels.dtype, np.integer):
        raise IngestError(f"{key}_set_y in {path} must be integers. Received: {labels.dtype}")
    if labels.size != shape[0]:
        raise IngestError(f"{path} has {shape[0]} images in {key}_set_x, {labels.size} labels")
    return images, labels[()].reshape(-1).astype(np.int64)


def _channels(shape: Sequence[int]) -> int:
    """Returns the channels of [n, height, width(, channels)] or [n, channels, height, width]."""
    if len(shape) == 3:
        return 1
    return shape[3] if shape[3] in (1, 3) else shape[1]


def _scale(images: h5py.Dataset, where: str, emit: Emit) -> float:
    """Returns by what the numbers must be multiplied to reach from 0 to 255.

    Bytes are taken as they are; numbers of other types are looked at, all of them.
    """
    if images.dtype == np.uint8 or images.shape[0] == 0:
        return 1.0
    least, most, whole = math.inf, -math.inf, True
    rows = max(1, _BLOCK_BYTES * len(images) // images.nbytes)
    for start in range(0, len(images), rows):
        emit(Progress(f"Looking at the numbers of {where}", start, unit="images"))
        block = images[start : start + rows]
        if not np.isfinite(block).all():
            raise IngestError(f"{where} holds numbers that are not finite")
        least, most = min(least, float(block.min())), max(most, float(block.max()))
        whole = whole and bool((block == np.rint(block)).all())
    if least >= 0 and most <= 1:
        return 255.0
    if least >= 0 and most <= 255 and whole:
        return 1.0
    raise IngestError(
        f"{where} must hold numbers from 0 to 1, or whole numbers from 0 to 255. Received: "
        f"{images.dtype} from {least:g} to {most:g}"
    )


def _pixels(image: np.ndarray, scale: float) -> np.ndarray:
    """Returns one image as uint8 [height, width, 3] or [height, width]."""
    if image.ndim == 3 and image.shape[2] not in (1, 3):
        image = np.moveaxis(image, 0, -1)
    if image.dtype != np.uint8:
        image = np.rint(image * scale).astype(np.uint8)
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image


def _class_names(path: Path) -> tuple[str, ...]:
    names = np.atleast_1d(_dataset(path, _CLASSES)[()]).reshape(-1).tolist()
    texts = [
        name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
        for name in names
    ]
    if len(set(texts)) < len(texts):
        raise IngestError(f"{_CLASSES!r} in {path} names a class twice: {', '.join(texts)}")
    return tuple(map(display_name, texts))
