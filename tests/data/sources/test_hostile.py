"""Files that are out to break an ingest: each is refused with its reason, the others go in."""

import json
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from data import IngestError
from data.converting.convert import ingest
from data.sources import open_source
from data.sources import source as source_module
from data.sources.folder import FolderSource
from data.sources.source import Rejection
from tests.data.images import class_tree, jpeg
from tests.signs.pictures import png_chunk

GOOD = 40


def rejections(source, root, examples=GOOD):
    """Ingests what has some bad files among GOOD ones; returns the reasons by source id."""
    done = ingest(source, root, max_rejected=0.9)
    assert done.manifest.examples == examples
    with (done.directory / "rejected.jsonl").open() as file:
        return {entry["source_id"]: entry["reason"] for entry in map(json.loads, file)}


def bomb_png(width=100_000, height=100_000):
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


# --- Folders -------------------------------------------------------------------------------------


def test_a_folder_of_horrors(tmp_path, monkeypatch):
    tree = class_tree(tmp_path / "x", GOOD // 2)
    cat = tree / "cat"
    (cat / "zero.jpg").write_bytes(b"")
    (cat / "text.jpg").write_bytes(b"a text")
    (cat / "cut.jpg").write_bytes(jpeg(1)[:300])
    (cat / "bomb.png").write_bytes(bomb_png())
    (cat / "page.html").write_bytes(b"<!doctype html><svg/>")
    (cat / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (cat / "dangling.jpg").symlink_to("nowhere.jpg")
    (cat / "self.jpg").symlink_to("self.jpg")
    (cat / "loop").symlink_to("..")
    (cat / "device").symlink_to("/dev/zero")
    os.mkfifo(cat / "pipe.jpg")
    (cat / os.fsdecode(b"bytes\xff.txt")).write_bytes(b"no")
    (cat / "new\nline.txt").write_bytes(b"no")
    with (cat / "huge.jpg").open("wb") as file:
        file.truncate(source_module.MAX_FILE_BYTES + 1)  # sparse: takes no room
    found = rejections(tree, tmp_path / "root")
    assert found.pop("cat/bomb.png").startswith("more than the 50,000,000 pixels allowed")
    assert found.pop("cat/self.jpg").startswith("cannot be read: Too many levels of symbolic")
    assert found == {
        "cat/zero.jpg": "zero bytes",
        "cat/text.jpg": "not an image",
        "cat/cut.jpg": "truncated: the file ends before the picture does",
        "cat/page.html": "not an image",
        "cat/phone.heic": "a HEIC photograph, which cannot be read: export it as JPEG",
        "cat/dangling.jpg": "a symbolic link to nothing",
        "cat/loop": "a link to a folder that is read already",
        "cat/device": "not a regular file",
        "cat/pipe.jpg": "not a regular file",
        "cat/bytes\\xff.txt": "not an image",
        "cat/new\nline.txt": "not an image",
        "cat/huge.jpg": "104,857,601 bytes are more than 104,857,600",
    }


def test_links_that_multiply_folders(tmp_path):
    """Thirty levels of two links each make a billion paths."""
    tree = class_tree(tmp_path / "x", GOOD // 2)
    for level in range(30):
        (tmp_path / f"level-{level}").mkdir()
        for name in "ab":
            (tmp_path / f"level-{level}" / name).symlink_to(tmp_path / f"level-{level + 1}")
    (tree / "cat" / "links").symlink_to(tmp_path / "level-0")
    reasons = rejections(tree, tmp_path / "root")
    assert len(reasons) == 31
    assert set(reasons.values()) == {
        "a link to a folder that is read already",
        "a symbolic link to nothing",
    }


def test_folders_without_an_end(tmp_path):
    tree = class_tree(tmp_path / "x", GOOD // 2)
    (tree / "cat" / "/".join("d" * 100)).mkdir(parents=True)
    (reason,) = rejections(tree, tmp_path / "root").values()
    assert reason == "more than 50 folders deep"


def test_links_to_folders_are_followed(tmp_path):
    real = class_tree(tmp_path / "real", GOOD // 2)
    tree = tmp_path / "x"
    tree.mkdir()
    (tree / "a").symlink_to(real / "cat")
    (tree / "b").symlink_to(real / "dog")
    assert rejections(tree, tmp_path / "root") == {}


@pytest.fixture
def nobody():
    """A folder and a user who is not root, for root reads everything."""
    folder = Path(tempfile.mkdtemp(prefix="signs-test-"))
    if os.geteuid() != 0:
        yield folder
    else:
        folder.chmod(0o755)
        yield folder
        os.seteuid(0)
    for path in folder.rglob("*"):
        path.chmod(0o700)
    shutil.rmtree(folder)


def test_unreadable_files_and_folders(nobody):
    tree = class_tree(nobody / "x", 2)
    (tree / "cat/secret.jpg").write_bytes(jpeg(1))
    (tree / "cat/secret.jpg").chmod(0)
    (tree / "cat/closed").mkdir(mode=0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    found = []
    FolderSource(tree).survey(found.append)
    assert [entry for entry in found if isinstance(entry, Rejection)] == [
        Rejection("cat/closed", "cannot be listed: Permission denied"),
        Rejection("cat/secret.jpg", "cannot be read: Permission denied"),
    ]
    if os.geteuid() == 65534:
        os.seteuid(0)
    tree.chmod(0)
    if os.getuid() == 0:
        os.seteuid(65534)
    with pytest.raises(IngestError, match=r"cannot list the folder .*: Permission denied"):
        open_source(tree)


# --- Zips ----------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path):
    """A function that zips GOOD images and some more entries."""

    def make(*entries, compression=zipfile.ZIP_DEFLATED):
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w", compression) as file:
            for number in range(GOOD // 2):
                file.writestr(f"w/cat/{number}.jpg", jpeg(number))
                file.writestr(f"w/dog/{number}.jpg", jpeg(100 + number))
            for name, content in entries:
                file.writestr(name, content)
        return path

    return make


def patch(path, name, **fields):
    """Changes fields of an entry, both in the directory of a zip and before the entry."""
    content = bytearray(path.read_bytes())
    encoded = name.encode()
    local = {"flags": (6, "<H"), "method": (8, "<H"), "crc": (14, "<I"), "size": (22, "<I")}
    central = {field: (offset + 2, code) for field, (offset, code) in local.items()}
    layouts = {b"PK\x03\x04": local, b"PK\x01\x02": central}
    for signature, offsets in layouts.items():
        name_at = 30 if signature == b"PK\x03\x04" else 46
        start = content.find(signature)
        while start >= 0:
            if content[start + name_at : start + name_at + len(encoded)] == encoded:
                for field, value in fields.items():
                    offset, code = offsets[field]
                    struct.pack_into(code, content, start + offset, value)
            start = content.find(signature, start + 4)
    path.write_bytes(content)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_of_horrors(tmp_path, archive):
    link = zipfile.ZipInfo("w/cat/link.jpg")
    link.external_attr = 0o120777 << 16
    path = archive(
        ("../up.jpg", jpeg(1)),
        ("w/cat/../../../up.jpg", jpeg(1)),
        ("/etc/passwd", b"x"),
        ("C:\\cat\\1.jpg", jpeg(1)),
        ("w/cat/0.jpg", jpeg(2)),
        (link, "/etc/passwd"),
        ("w/cat/zero.jpg", b""),
        ("w/cat/bomb.png", bomb_png()),
        ("w/cat/secret.jpg", jpeg(3)),
        ("w/cat/crc.jpg", jpeg(4)),
        ("w/cat/big.jpg", jpeg(5)),
        ("w/cat/lies.jpg", jpeg(6)),
        ("w/cat/method.jpg", jpeg(7)),
        ("w/stray.jpg", jpeg(8)),
        ("w/cat/inner.zip", b"PK\x03\x04"),
        ("__MACOSX/w/cat/._0.jpg", b"x"),
        ("w/.DS_Store", b"x"),
        ("./w/dog/dotted.txt", b"x"),
    )
    patch(path, "w/cat/secret.jpg", flags=1)
    patch(path, "w/cat/crc.jpg", crc=1)
    patch(path, "w/cat/big.jpg", size=2**31)
    patch(path, "w/cat/lies.jpg", size=10)
    patch(path, "w/cat/method.jpg", method=9)
    found = rejections(path, tmp_path / "root")
    assert found.pop("w/cat/bomb.png").startswith("more than the 50,000,000 pixels allowed")
    assert found.pop("w/cat/method.jpg").startswith("compressed in a way that cannot be read")
    assert found == {
        "../up.jpg": "points outside the archive",
        "w/cat/../../../up.jpg": "points outside the archive",
        "etc/passwd": "points outside the archive",
        "C:/cat/1.jpg": "points outside the archive",
        "w/cat/0.jpg": "a second entry of this name",
        "w/cat/link.jpg": "a symbolic link",
        "w/cat/zero.jpg": "zero bytes",
        "w/cat/secret.jpg": "encrypted",
        "w/cat/crc.jpg": "damaged in the archive: Bad CRC-32 for file 'w/cat/crc.jpg'",
        "w/cat/big.jpg": "2,147,483,648 bytes are more than 104,857,600 (a zip bomb?)",
        "w/cat/lies.jpg": "damaged in the archive: Bad CRC-32 for file 'w/cat/lies.jpg'",
        "w/stray.jpg": "not in a class folder",
        "w/cat/inner.zip": "not an image",
        "w/dog/dotted.txt": "not an image",
    }


def test_a_zip_made_on_windows(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(GOOD):
            entry = zipfile.ZipInfo("x")
            entry.filename = f"{'cat' if number % 2 else 'dog'}\\{number}.jpg"
            file.writestr(entry, jpeg(number))
    assert rejections(path, tmp_path / "root") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a zip", "is not a zip archive that can be read: File is not a zip file"),
        (b"PK\x05\x06" + bytes(18), r"holds nothing: no images\. Expected one folder per class"),
    ],
)
def test_a_zip_that_is_none(tmp_path, content, message):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(IngestError, match=message):
        ingest(tmp_path / "x.zip", tmp_path / "root")


def test_a_zip_that_is_all_encrypted(tmp_path, archive):
    path = archive()
    for number in range(GOOD // 2):
        patch(path, f"w/cat/{number}.jpg", flags=1)
        patch(path, f"w/dog/{number}.jpg", flags=1)
    with pytest.raises(IngestError, match=r"holds 40 entries, all encrypted\. Pack it again"):
        ingest(path, tmp_path / "root")


def test_a_zip_of_what_is_no_image(tmp_path):
    link = zipfile.ZipInfo("a/1.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("cats.zip", b"PK")
        file.writestr("../up.jpg", b"")
        file.writestr(link, b"/etc")
    with pytest.raises(IngestError, match="3 files and none of them is an image: ") as caught:
        ingest(tmp_path / "x.zip", tmp_path / "root")
    for kind in ("1 .zip", "1 (points outside the archive)", "1 (a symbolic link)", "Unpack the"):
        assert kind in str(caught.value)


def test_a_truncated_zip(tmp_path, archive):
    path = archive()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(IngestError, match=r"is not a zip archive .* Download it again\?"):
        ingest(path, tmp_path / "root")


def test_an_archive_within_limits_stays_in_memory_limits(tmp_path, archive):
    """An entry that inflates to the limit and is no image costs its size, not more."""
    path = archive(("w/cat/zeros.bin", bytes(50 * 2**20)))
    assert rejections(path, tmp_path / "root") == {"w/cat/zeros.bin": "not an image"}


def test_many_pixels_in_few_bytes(tmp_path):
    tree = class_tree(tmp_path / "x", GOOD // 2)
    Image.new("1", (9000, 9000)).save(tree / "cat" / "wide.png")
    reason = rejections(tree, tmp_path / "root")["cat/wide.png"]
    assert reason.startswith("9000 x 9000 pixels are more than the 50,000,000 allowed")
