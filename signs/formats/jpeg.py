"""A JPEG file taken apart.

    segments -> what the picture is made of | what describes it (EXIF, ICC profile) | all the rest

What the picture is made of is all that a decoder needs, and decoders read it alike. All the rest is
where they differ: thumbnails, second pictures, comments, bytes behind the end.
"""

import itertools
import re
from collections.abc import Iterator

import simplejpeg

from signs.errors import ImageError
from signs.features import MAX_SCANNED_PIXELS, MAX_SCANS
from signs.formats import INCOMPLETE, TRUNCATED

SIGNATURE = b"\xff\xd8\xff"

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN = 0xDA
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_USUAL_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive
_OTHER_FRAMES = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB), "arithmetic coding"),
    0xC3: "lossless",
    0xF7: "JPEG-LS",
}
_TABLES = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xF8}
_ALONE = {0x01, *range(0xD0, 0xDA)}  # markers without a length behind them
_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
# The data of a scan go on behind a stuffed byte and behind a restart.
_AFTER_SCAN = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")


class Jpeg:
    """The parts of a JPEG file.

    Attributes:
        picture: the file that holds the picture and nothing else.
        exif: TIFF data, or nothing.
        profile: an ICC profile, or nothing.
        unusual: what not every decoder reads, or "".

    Raises:
        ImageError: the file ends before its first scan, or has too many of them.
    """

    def __init__(self, raw: bytes) -> None:
        kept, scans, pixels, profile = [_START], 0, 0, dict[int, bytes]()
        self.exif, self.unusual, self._ends = b"", "", False
        self._is_progressive = False
        self._missing = dict[tuple[int, int], int]()  # bits of coefficients that never come
        for marker, body in _segments(raw):
            data = body[2:]
            if marker == _END[1]:
                self._ends = True
            elif marker in _OTHER_FRAMES:
                self.unusual = _OTHER_FRAMES[marker]
            elif marker in _USUAL_FRAMES and data[:1] != b"\x08":
                self.unusual = f"{data[0]} bits" if data else "an empty header"
            elif marker == _APP1 and data.startswith(b"Exif\0\0"):
                self.exif = self.exif or data[6:]
            elif marker == _APP2 and data.startswith(b"ICC_PROFILE\0"):
                profile[data[12]] = data[14:]
            if marker in _USUAL_FRAMES:
                self._is_progressive = marker == 0xC2
                height, width = (int.from_bytes(data[at : at + 2]) for at in (1, 3))
                pixels = height * width
                self._missing = dict.fromkeys(itertools.product(data[6::3], range(64)), 16)
            elif marker == _SCAN:
                scans += 1
                data = self._scan(data)
            if _is_picture(marker, data):
                kept.append(b"\xff" + bytes([marker]) + body[:2] + data)
        if not scans:
            raise ImageError(TRUNCATED)
        if scans > MAX_SCANS:
            raise ImageError(f"a JPEG of {scans} scans, more than {MAX_SCANS} (a bomb?)")
        if scans * pixels > MAX_SCANNED_PIXELS:
            raise ImageError(f"a JPEG of {width} x {height} pixels in {scans} scans (a bomb?)")
        self.picture = b"".join([*kept, _END])
        self.profile = b"".join(profile[number] for number in sorted(profile))

    def is_plain(self) -> bool:
        """Whether every decoder makes the same of the picture: decodes it, heeding warnings.

        Returns:
            False where all of it is there, but a decoder may do without, or not know it.

        Raises:
            ImageError: a part of the picture is missing or damaged.
        """
        try:
            color = simplejpeg.decode_jpeg_header(self.picture, strict=False)[2]
            target = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}.get(color, "RGB")
            simplejpeg.decode_jpeg(self.picture, target, strict=True)
        except KeyError:  # a color space that the library has no name for
            return False
        except ValueError as err:
            words = str(err).removeprefix("Corrupt JPEG data: ")
            if "remature end" in words or "marker 0xd9 instead of" in words:
                raise ImageError(INCOMPLETE if self._ends else TRUNCATED) from err
            if "bad Huffman code" in words or "instead of RST" in words:
                raise ImageError(f"damaged: {words}") from err
            if not self._ends and not words.endswith("extraneous bytes before marker 0xd9"):
                raise ImageError(TRUNCATED) from err
            return False
        if self._missing:  # decoders smooth what is there, each in its own way
            raise ImageError(INCOMPLETE if self._ends else TRUNCATED)
        return not self.unusual

    def _scan(self, data: bytes) -> bytes:
        """Notes what a scan brings; returns it as it should be.

        Which coefficients it holds says something in progressive pictures alone. In others some
        cameras write nonsense, over which decoders pass with a warning.
        """
        count = data[0] if data else 0
        behind = 1 + 2 * count
        if not self._is_progressive:
            data = data[:behind] + b"\0\x3f\0" + data[behind + 3 :]
        first, last, bits = (*data[behind : behind + 3], 0, 0, 0)[:3]
        for component in data[1:behind:2]:
            for coefficient in range(first, last + 1):
                self._missing.pop((component, coefficient), None)
                if bits & 15:
                    self._missing[component, coefficient] = bits & 15
        return data


def _segments(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields markers and what follows them; the data of a scan belong to its header."""
    position = len(_START)
    while match := _MARKER.search(raw, position):
        marker, start = match[1][0], match.end()
        position = start
        if marker not in _ALONE:
            position += max(2, int.from_bytes(raw[start : start + 2], "big"))
        if position > len(raw):
            return
        if marker == _SCAN:
            end = _AFTER_SCAN.search(raw, position)
            position = end.start() if end else max(position, len(raw.rstrip(b"\xff")))
        yield marker, raw[start:position]
        if marker == _END[1]:
            return


def _is_picture(marker: int, data: bytes) -> bool:
    tells_colors = (marker == _APP0 and data.startswith(b"JFIF\0")) or (
        marker == _APP14 and data.startswith(b"Adobe")
    )
    has_part = marker in _TABLES or marker in _USUAL_FRAMES or marker in _OTHER_FRAMES
    return tells_colors or has_part or marker == _SCAN
