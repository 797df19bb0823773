"""What a user hands over as images -> (source, encoded bytes) pairs, in the order given.

Everything is read and checked before anything is sent, and no answer is ever matched to the wrong
picture. What is an image shows in what a file holds, as at ingestion; its name decides nothing.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from signs.errors import ImageError, NotAnImageError, UserError
from signs.image_bytes import canonical_bytes, encode_png
from signs.litter import DEEPEST, MAX_FILE_BYTES, litter

Image: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | np.ndarray
Images: TypeAlias = Image | Iterable[Image]

# A file with such a name that holds no image is told of, where another is passed over.
SUFFIXES = frozenset(
    (
        *(".avif", ".bmp", ".gif", ".heic", ".ico", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
        *(".png", ".ppm", ".tif", ".tiff", ".webp"),
    )
)


class InputError(UserError):
    """An input that is not an image; the text names it."""


@dataclass(frozen=True)
class Unanswered:
    """An input that gets no answer.

    Args:
        source: the file's path, or "input 3" for the fourth input that was no path.
        reason: why, in words.
        passed_over: whether nobody asked for it: a file in a folder that neither is an image nor
            is called like one.
    """

    source: str
    reason: str
    passed_over: bool = False

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


def read_images(images: Images) -> list[tuple[str, bytes]]:
    """Reads every input; one that is no image fails the whole call.

    Args:
        images: one input or an iterable of them: the path of a file or of a folder (walked in the
            order of names; litter and what is no image, nor called like one, are passed over), the
            bytes of an encoded image, or a uint8 array [height, width, 3] or
            [number, height, width, 3].

    Returns:
        For each image its source (the path, "input 3", or "input 3[0]" within an array of several)
        and bytes that the model decodes: JPEG or PNG.

    Raises:
        InputError: a file that cannot be read or is no image, a folder without images, an array of
            another type or shape, an input of another kind, or no input at all.
    """
    found = read_each(images)
    for item in found:
        if isinstance(item, Unanswered) and not item.passed_over:
            raise InputError(str(item))
    return [item for item in found if not isinstance(item, Unanswered)]


def read_each(images: Images) -> list[tuple[str, bytes] | Unanswered]:
    """Reads every input, as `read_images` does, and goes on behind one that is no image.

    Raises:
        InputError: there is not a single image.
    """
    single = isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | np.ndarray)
    inputs = [images] if single else images
    if not isinstance(inputs, Iterable):
        raise InputError(f"`images` must be images or paths. Received: {type(images).__name__}")
    found = [item for position, image in enumerate(inputs) for item in _read(position, image)]
    if not found:
        raise InputError("`images` is empty: name at least one image file or folder.")
    if all(isinstance(item, Unanswered) for item in found):
        named = [item for item in found if isinstance(item, Unanswered) and not item.passed_over]
        more = f" (and {len(found) - 1} more without an image)" if len(found) > 1 else ""
        raise InputError(f"{(named or found)[0]}{more}")
    return found


def _read(position: int, image: object) -> Iterator[tuple[str, bytes] | Unanswered]:
    name = f"input {position}"
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        yield from _read_folder(path) if path.is_dir() else [_read_file(path)]
    elif isinstance(image, bytes | bytearray | memoryview):
        yield _read_bytes(name, bytes(image))
    elif isinstance(image, np.ndarray) and _is_pixels(image):
        if image.ndim == 3:
            yield _read_pixels(name, image)
        for row, pixels in enumerate(image if image.ndim == 4 else ()):
            yield _read_pixels(f"{name}[{row}]", pixels)
    elif isinstance(image, np.ndarray):
        yield Unanswered(
            name,
            "an array must be uint8 [height, width, 3] or [number, height, width, 3]. "
            f"Received: {image.dtype} {list(image.shape)}",
        )
    else:
        yield Unanswered(
            name,
            f"an image must be a path, bytes or a uint8 array. Received: {type(image).__name__}",
        )


def _is_pixels(array: np.ndarray) -> bool:
    return array.dtype == np.uint8 and array.ndim in (3, 4) and array.shape[-1] == 3


def _read_folder(folder: Path) -> Iterator[tuple[str, bytes] | Unanswered]:
    is_empty = True
    for path in _walk(folder, 0, set()):
        is_empty = False
        yield path if isinstance(path, Unanswered) else _read_file(path, is_named=False)
    if is_empty:
        yield Unanswered(str(folder), "no images in this folder.")


def _walk(folder: Path, depth: int, visited: set[tuple[int, int]]) -> Iterator[Path | Unanswered]:
    """Yields every file below a folder that is no litter, by name.

    A folder is read once, however many links lead to it.
    """
    try:
        status = folder.stat()
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths
    except OSError as error:
        yield Unanswered(str(folder), f"cannot be listed: {error.strerror or error}.")
        return
    identity = (status.st_dev, status.st_ino)
    if identity in visited or depth > DEEPEST:
        return
    visited.add(identity)
    for name in names:
        path = folder / name
        if litter((name,)):
            continue
        if path.is_dir():
            yield from _walk(path, depth + 1, visited)
        else:
            yield path


def _read_file(path: Path, *, is_named: bool = True) -> tuple[str, bytes] | Unanswered:
    """Reads a file; `is_named` tells whether a user has named it, or a folder that it is in."""
    source = str(path)
    is_asked_for = is_named or path.suffix.lower() in SUFFIXES
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not is_named:
            return Unanswered(source, "not a regular file.", passed_over=not is_asked_for)
        if status.st_size > MAX_FILE_BYTES:
            reason = f"{status.st_size:,} bytes are more than {MAX_FILE_BYTES:,}."
            return Unanswered(source, reason, passed_over=not is_asked_for)
        return _read_bytes(source, path.read_bytes(), is_asked_for=is_asked_for)
    except FileNotFoundError:
        return Unanswered(source, "no such file or folder.")
    except OSError as error:
        return Unanswered(source, f"cannot be read: {error.strerror or error}.")


def _read_bytes(
    source: str, raw: bytes, *, is_asked_for: bool = True
) -> tuple[str, bytes] | Unanswered:
    try:
        return source, canonical_bytes(raw)
    except NotAnImageError as error:
        return Unanswered(source, str(error), passed_over=not is_asked_for)
    except ImageError as error:
        return Unanswered(source, str(error))


def _read_pixels(source: str, pixels: np.ndarray) -> tuple[str, bytes] | Unanswered:
    try:
        return source, encode_png(pixels)
    except ImageError as error:
        return Unanswered(source, str(error))
