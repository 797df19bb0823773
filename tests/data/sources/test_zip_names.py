"""Names in zips as Macs, Windows and Info-ZIP write them."""

import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import IngestError
from data.sources.archive import ArchiveSource
from data.sources.layouts.answers import Answers
from data.sources.source import Item, Rejection
from data.sources.zip_names import read_names
from tests.data.images import jpeg


class RawInfo(zipfile.ZipInfo):
    """An entry whose name is written as these bytes, with these flags."""

    raw, flags = b"", 0

    def _encodeFilenameFlags(self):  # noqa: N802 - Python's name
        return self.raw, self.flags


def entry(raw, *, extra=b"", flags=0):
    info = RawInfo(raw.decode("latin-1"))
    info.raw, info.extra, info.flags = raw, extra, flags
    return info


def write_zip(path, *entries):
    with zipfile.ZipFile(path, "w") as file:
        for number, info in enumerate(entries):
            file.writestr(info, jpeg(number))
    return path


def names_in(path, encoding=None):
    with zipfile.ZipFile(path) as file:
        return list(read_names(file.infolist(), encoding, path))


def unicode_path(raw, name, checksum=None):
    """Info-ZIP's extra field 0x7075."""
    content = struct.pack("<BI", 1, zlib.crc32(raw) if checksum is None else checksum)
    content += name.encode()
    return struct.pack("<HH", 0x7075, len(content)) + content


def test_ascii_and_utf8_need_no_question(tmp_path):
    mac = "cafe\u0301/手.jpg"
    flagged = entry("é/2.jpg".encode(), flags=0x800)
    path = write_zip(tmp_path / "a.zip", entry(b"a/1.jpg"), entry(mac.encode()), flagged)
    assert names_in(path) == ["a/1.jpg", mac, "é/2.jpg"]
    # The user's word counts where the archive itself says nothing.
    assert names_in(path, "cp437") == ["a/1.jpg", mac.encode().decode("cp437"), "é/2.jpg"]


def test_the_unicode_path_field_counts_if_it_is_of_this_name(tmp_path):
    raw = "кот.jpg".encode("cp866")
    other = struct.pack("<HHI", 0x5455, 4, 0)
    path = write_zip(tmp_path / "a.zip", entry(raw, extra=other + unicode_path(raw, "кот.jpg")))
    assert names_in(path) == ["кот.jpg"]
    stale = write_zip(tmp_path / "b.zip", entry(raw, extra=unicode_path(raw, "x", checksum=1)))
    with pytest.raises(IngestError, match="does not tell the code page of 1 name in it"):
        names_in(stale)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("手势/1.jpg", "gbk"),
        ("手話/ソ.jpg", "cp932"),  # its second byte is a backslash
        ("кот/1.jpg", "cp866"),
        ("кот/1.jpg", "cp1251"),
        ("größe/1.jpg", "cp437"),
        ("größe/1.jpg", "cp1252"),
        ("손/1.jpg", "cp949"),
        ("手勢/1.jpg", "big5"),
    ],
)
def test_a_code_page_is_asked_for(tmp_path, name, encoding):
    path = write_zip(tmp_path / "a.zip", entry(b"a/1.jpg"), entry(name.encode(encoding)))
    with pytest.raises(IngestError, match="does not tell the code page of 1 name in it") as caught:
        names_in(path)
    assert f"  --zip-encoding {encoding:9}{name}\n" in str(caught.value)
    assert names_in(path, encoding) == ["a/1.jpg", name]


def test_another_code_page_than_the_names(tmp_path):
    path = write_zip(tmp_path / "a.zip", entry(b"gr\xff.jpg"))
    with pytest.raises(IngestError, match=r"the name b'gr\\xff.jpg' .* not in .* gbk: choose"):
        names_in(path, "gbk")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_utf8_name(name):
    info = zipfile.ZipInfo()
    info.orig_filename = name.encode().decode("cp437")
    assert read_names([info], None, "x.zip") == [name]


def test_an_archive_of_a_mac(tmp_path):
    """One folder in two forms of accents is one class, and one name twice is told."""
    names = ["cafe\u0301/1.jpg", "café/2.jpg", "手/1.jpg", "café/1.jpg"]
    path = write_zip(tmp_path / "a.zip", *(entry(name.encode()) for name in names))
    found = []
    surveyed = ArchiveSource(path).survey(found.append)
    assert surveyed.class_names == ("café", "手")
    assert [e.source_id for e in found if isinstance(e, Item)] == [
        "café/1.jpg",
        "café/2.jpg",
        "手/1.jpg",
    ]
    assert found[-1] == Rejection("café/1.jpg", "a second entry of this name")


def test_an_archive_of_windows(tmp_path):
    names = [f"{label}\\ソ{number}.jpg" for label in ("手", "猫") for number in range(2)]
    path = write_zip(tmp_path / "a.zip", *(entry(name.encode("cp932")) for name in names))
    source, found = ArchiveSource(path, Answers(zip_encoding="cp932")), []
    assert source.survey(found.append).class_names == ("手", "猫")
    items = [e for e in found if isinstance(e, Item)]
    assert [item.source_id for item in items] == [name.replace("\\", "/") for name in names]
    assert source.read(items[3]) == jpeg(3)
