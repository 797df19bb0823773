"""What a user hands over as images -> (source, encoded bytes) pairs, in the order given.

Everything is read and checked before anything is sent: one bad file fails the whole call and names
itself, and no answer is ever matched to the wrong picture.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np

from signs.errors import UserError
from signs.image_bytes import ImageError, canonical_bytes, encode_png

Image: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | np.ndarray
Images: TypeAlias = Image | Iterable[Image]

# In a folder only these are images; a file that is named itself may be called anything.
SUFFIXES = frozenset(
    (".avif", ".bmp", ".gif", ".ico", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
)


class InputError(UserError):
    """An input that is not an image; the text names it."""


def read_images(images: Images) -> list[tuple[str, bytes]]:
    """Reads every input.

    Args:
        images: one input or an iterable of them: the path of a file or of a folder (walked in the
            order of names; hidden files and what has no image suffix are passed over), the bytes of
            an encoded image, or a uint8 array [height, width, 3] or [number, height, width, 3].

    Returns:
        For each image its source (the path, "input 3", or "input 3[0]" within an array of several)
        and bytes that the model decodes: JPEG or PNG.

    Raises:
        InputError: a file that cannot be read or is no image, a folder without images, an array of
            another type or shape, an input of another kind, or no input at all.
    """
    single = isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | np.ndarray)
    inputs = [images] if single else images
    if not isinstance(inputs, Iterable):
        raise InputError(f"`images` must be images or paths. Received: {type(images).__name__}")
    pairs = [pair for position, image in enumerate(inputs) for pair in _read(position, image)]
    if not pairs:
        raise InputError("`images` is empty: name at least one image file or folder.")
    return pairs


def _read(position: int, image: object) -> Iterator[tuple[str, bytes]]:
    name = f"input {position}"
    if isinstance(image, str | os.PathLike):
        for path in _files(Path(image)):
            yield str(path), _canonical(str(path), _read_file(path))
    elif isinstance(image, bytes | bytearray | memoryview):
        yield name, _canonical(name, bytes(image))
    elif isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (3, 4) or image.shape[-1] != 3:
            raise InputError(
                f"{name}: an array must be uint8 [height, width, 3] or [number, height, width, 3]. "
                f"Received: {image.dtype} {list(image.shape)}"
            )
        if image.ndim == 3:
            yield name, _png(name, image)
        else:
            for row, pixels in enumerate(image):
                yield f"{name}[{row}]", _png(f"{name}[{row}]", pixels)
    else:
        raise InputError(
            f"{name}: an image must be a path, bytes or a uint8 array. "
            f"Received: {type(image).__name__}"
        )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and not any(
            part.startswith(".") or part == "__MACOSX" for part in file.relative_to(path).parts
        )
        and file.is_file()
    )
    if not files:
        raise InputError(f"{path}: no images in this folder ({', '.join(sorted(SUFFIXES))}).")
    return files


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file or folder.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from error


def _canonical(source: str, raw: bytes) -> bytes:
    try:
        return canonical_bytes(raw)
    except ImageError as error:
        raise InputError(f"{source}: {error}") from error


def _png(source: str, pixels: np.ndarray) -> bytes:
    try:
        return encode_png(pixels)
    except ImageError as error:
        raise InputError(f"{source}: {error}") from error
