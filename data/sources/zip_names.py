"""The names in a zip: which letters their bytes stand for.

A zip says of a name that it is UTF-8, by a flag or in an extra field, or says nothing. Macs write
UTF-8 and say nothing. Windows writes the code page of the machine, and does not say which: such
bytes cannot be told apart from other code pages' (in 1980s' MS-DOS they were box-drawing
characters), so the user is asked.
"""

import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from data import IngestError

_IS_UTF8 = 0x800  # bit of the general purpose flags
_UNICODE_PATH = 0x7075  # Info-ZIP's extra field
_CODE_PAGES = ("cp437", "cp850", "cp1252", "cp866", "cp1251", "gbk", "big5", "cp932", "cp949")


def read_names(
    entries: Sequence[zipfile.ZipInfo], encoding: str | None, path: Path
) -> Sequence[str]:
    """Returns the names of all entries.

    Args:
        entries: Of one archive.
        encoding: The code page of the names of which the archive does not tell it.
        path: The archive, for messages.

    Raises:
        IngestError: Names that cannot be known, or are not in `encoding`.
    """
    names = [_told(entry) for entry in entries]
    open_ends = [index for index, name in enumerate(names) if name is None]
    raw = [_raw(entries[index]) for index in open_ends]
    chosen = encoding or "utf-8"
    try:
        for index, content in zip(open_ends, raw, strict=True):
            names[index] = content.decode(chosen)
    except UnicodeDecodeError as err:
        if encoding:
            raise IngestError(
                f"the name {err.object!r} in {path} is not in the code page {encoding}: choose "
                "another --zip-encoding"
            ) from err
        raise _unknown(raw, path) from err
    return [(name or "").split("\0")[0] for name in names]


def _told(entry: zipfile.ZipInfo) -> str | None:
    """Returns the name where the archive tells how to read it."""
    if entry.flag_bits & _IS_UTF8:
        return entry.orig_filename
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        # A version, the checksum of the name that it stands for, and the name as UTF-8.
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1:
            (checksum,) = struct.unpack_from("<I", field, 1)
            if checksum == zlib.crc32(_raw(entry)):
                return field[5:].decode("utf-8", "backslashreplace")
    return None


def _raw(entry: zipfile.ZipInfo) -> bytes:
    """Returns the bytes of a name without a flag, which Python has read as its default."""
    return entry.orig_filename.encode("cp437")


def _unknown(raw: Sequence[bytes], path: Path) -> IngestError:
    foreign = [content for content in raw if not _is_utf8(content)]
    readings: dict[str, str] = {}
    for code_page in _CODE_PAGES:
        try:
            name = foreign[0].decode(code_page)
        except UnicodeDecodeError:
            continue
        if name.isprintable():
            readings.setdefault(name, code_page)
    shown = "\n".join(
        f"  --zip-encoding {code_page:9}{name[:50]}" for name, code_page in readings.items()
    )
    count = "1 name" if len(foreign) == 1 else f"{len(foreign):,} names"
    return IngestError(
        f"{path} does not tell the code page of {count} in it. Say which one is right for\n"
        f"{foreign[0][:50]!r}:\n{shown}\n(or any other code page that Python knows)"
    )


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
