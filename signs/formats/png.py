"""A PNG file taken apart.

    chunks -> what the picture is made of | what describes it (EXIF, ICC profile) | all the rest

Without the rest every decoder shows the numbers that are stored: no gamma, no animation, and no
limit on the length of a text.
"""

import struct
import zlib
from collections.abc import Iterator

from signs.errors import ImageError
from signs.formats import INCOMPLETE, TRUNCATED

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type
_GREY, _RGB = 0, 2
_WHOLE = ((0, 0, 1, 1),)
# An interlaced picture comes in passes: the first column and row of each, and the steps.
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_MAX_PROFILE_BYTES = 4 * 2**20
_PIECE_BYTES = 2**16


class Png:
    """The parts of a PNG file.

    Attributes:
        picture: the file that holds the picture and nothing else.
        exif: TIFF data, or nothing.
        profile: an ICC profile, or nothing.

    Raises:
        ImageError: the file ends before its end chunk, a checksum does not hold, the header makes
            no sense, or there is a chunk that a decoder has to know and does not.
    """

    def __init__(self, raw: bytes) -> None:
        kept, profile = [SIGNATURE], b""
        self.exif, self._data, self._is_opaque = b"", list[bytes](), True
        header = b""
        for kind, data, chunk in _chunks(raw):
            if kind == b"IHDR":
                if header or len(data) != 13:
                    raise ImageError("damaged: a header that makes no sense")
                header = data
            elif kind == b"IDAT":
                self._data.append(data)
            elif kind == b"tRNS":
                self._is_opaque = False
            elif kind == b"eXIf":
                self.exif = data
            elif kind == b"iCCP":
                profile = data.partition(b"\0")[2][1:]
            if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
                kept.append(chunk)
        if not self._data:
            raise ImageError(INCOMPLETE)
        self._width, self._height, self._bits, self._color, *methods = struct.unpack(
            ">2I5B", header
        )
        if self._color not in _CHANNELS or methods[:2] != [0, 0] or methods[2] > 1:
            raise ImageError("damaged: a header that makes no sense")
        self._is_interlaced = bool(methods[2])
        self.picture = b"".join(kept)
        try:
            self.profile = zlib.decompressobj().decompress(profile, _MAX_PROFILE_BYTES)
        except zlib.error:
            self.profile = b""

    def is_plain(self) -> bool:
        """Whether every decoder makes the same of the picture; reads it to its end.

        Returns:
            False where all of it is there, but not as 8-bit grey or RGB, row by row.

        Raises:
            ImageError: a part of the picture is missing or damaged.
        """
        left = self._size()
        # The window is as large as the file says: a decoder may take it at its word.
        stream = zlib.decompressobj(wbits=0)
        try:
            for data in self._data:
                for start in range(0, len(data), _PIECE_BYTES):
                    left -= len(stream.decompress(data[start : start + _PIECE_BYTES]))
                    if left < 0:
                        return False
        except zlib.error as err:
            raise ImageError(f"damaged: {err}") from err
        if left > 0:
            raise ImageError(INCOMPLETE)
        return (
            (stream.eof and not stream.unused_data)
            and (self._bits == 8 and self._color in (_GREY, _RGB))
            and (self._is_opaque and not self._is_interlaced)
        )

    def _size(self) -> int:
        """The bytes of all rows, each with the number of its filter in front."""
        bits, size = self._bits * _CHANNELS[self._color], 0
        for left, top, step_x, step_y in _PASSES if self._is_interlaced else _WHOLE:
            width = -(-(self._width - left) // step_x)
            height = -(-(self._height - top) // step_y)
            if width > 0 and height > 0:
                size += height * (1 + -(-width * bits // 8))
        return size


def _chunks(raw: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yields type, data and all bytes of each chunk up to the end chunk.

    What a decoder may pass over is passed over where its checksum does not hold.
    """
    position, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        length = int.from_bytes(raw[position : position + 4], "big")
        chunk = raw[position : position + 12 + length]
        if len(chunk) < 12 + length:
            raise ImageError(TRUNCATED)
        kind, data, checksum = chunk[4:8], chunk[8:-4], chunk[-4:]
        is_needed = not kind[0] & 0x20
        is_sound = zlib.crc32(chunk[4:-4]) == int.from_bytes(checksum, "big")
        name = kind.decode("ascii", "backslashreplace")
        if position == len(SIGNATURE) and kind != b"IHDR":
            raise ImageError(f"a PNG that begins with {name} and not with its header")
        if is_needed and not is_sound:
            raise ImageError(f"damaged: the checksum of the chunk {name} does not hold")
        if is_needed and kind not in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            raise ImageError(
                f"a PNG with the unknown critical chunk {name}, which decoders must refuse"
            )
        if is_sound:
            yield kind, data, chunk
        position += len(chunk)
