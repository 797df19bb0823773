"""Corrections: from a person's table to a file beside the source, and into the next span."""

import csv
import hashlib
import json
from pathlib import Path

import pytest

from data import IngestError
from data.converting.convert import Ingested, ingest
from data.relabel import relabel
from data.sources.layouts.answers import NO_ANSWERS
from tests.data.images import by_id, class_tree

HEAD = ("source", "id", "label", "corrected")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return class_tree(tmp_path / "pets", per_class=10, classes=("cat", "dog"))


def table(folder: Path, *rows: tuple[str, str, str], source: str = "") -> Path:
    path = folder / "check.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEAD, *((source, *row) for row in rows)])
    return path


def mend(pets: Path, *rows: tuple[str, str, str]) -> tuple[int, int, int]:
    made = relabel(table(pets.parent, *rows, source=str(pets)), None, NO_ANSWERS, pets.parent)
    assert made.path == pets.parent / "pets.corrections.csv"
    return made.corrected, made.withdrawn, made.all


def span(pets: Path) -> Ingested:
    return ingest(pets, pets.parent / "data")


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_corrections_make_the_next_span_and_leave_the_source(pets: Path) -> None:
    before, source = span(pets), digest(pets)
    assert mend(pets, ("cat/3.jpg", "cat", "dog"), ("cat/4.jpg", "cat", "")) == (1, 0, 1)
    text = (pets.parent / "pets.corrections.csv").read_text()
    assert text == "id,label,corrected\ncat/3.jpg,cat,dog\n"
    after = span(pets)
    assert (before.span, after.span, after.manifest.changed) == (1, 2, 1)
    [mended] = by_id(after).values()
    assert (mended.source_id, mended.class_name, mended.label) == ("cat/3.jpg", "dog", 1)
    assert mended.split == by_id(before)["cat/3.jpg"].split
    assert sum(counts["dog"] for counts in after.window.counts.values()) == 11
    manifest = json.loads((after.directory / "manifest.json").read_text())
    assert manifest["settings"]["corrections"] == {
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "rows": [["cat/3.jpg", "cat", "dog"]],
    }
    assert span(pets).reused
    assert digest(pets) == source


def test_a_later_table_replaces_and_withdraws(pets: Path) -> None:
    first = span(pets)
    assert mend(pets, ("cat/3.jpg", "cat", "dog"), ("cat/5.jpg", "cat", "dog")) == (2, 0, 2)
    # As `signs suspects` tells it now: under its corrected class.
    assert mend(pets, ("cat/3.jpg", "dog", "cat"), ("cat/5.jpg", "cat", "dog")) == (1, 1, 1)
    assert [*by_id(span(pets))] == ["cat/5.jpg"]
    assert mend(pets, ("cat/5.jpg", "cat", "cat")) == (1, 1, 0)
    assert not (pets.parent / "pets.corrections.csv").exists()
    assert span(pets).window.counts == first.manifest.counts


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("cat/99.jpg", "cat", "dog")], "pictures that pets does not have: cat/99.jpg. Mend"),
        ([("cat/1.jpg", "cat", "cow")], r"classes that pets does not have \(cat, dog\): 'cow' for"),
        ([("cat/1.jpg", "cat", "dog"), ("cat/1.jpg", "cat", "cat")], "contradicts itself: cat/1"),
        ([("cat/1.jpg", "dog", "cat")], "of other labels than .*: cat/1.jpg is under 'cat', not"),
        ([("cat/1.jpg", "cat", "")], "corrects nothing: write the right class into the column"),
    ],
)
def test_a_table_that_makes_no_sense(pets: Path, rows: list, words: str) -> None:
    with pytest.raises(IngestError, match=words):
        mend(pets, *rows)
    assert not (pets.parent / "pets.corrections.csv").exists()


def test_files_of_spreadsheets_and_files_that_are_none(pets: Path, tmp_path: Path) -> None:
    path = tmp_path / "check.csv"
    for content, words in (
        (b"id,corrected\na,b\n", "has no column label: its first line names them"),
        (b"id,label,corrected\ncat/1.jpg\n", "row 2, has fewer values than columns"),
        (b"", "has no column id, label, corrected"),
        (b"\xff\xfe\x00", "is no table in CSV"),
        (b"id,label,corrected\ncat/1.jpg,cat,dog\n", "has no column source"),
    ):
        path.write_bytes(content)
        with pytest.raises(IngestError, match=words):
            relabel(path, None, NO_ANSWERS, tmp_path)
    path.write_bytes("\ufeffid;label;corrected\r\ncat/1.jpg;cat;dog\r\n".encode())
    assert relabel(path, str(pets), NO_ANSWERS, tmp_path).corrected == 1
    with pytest.raises(IngestError, match="is drawn"):
        relabel(path, "synthetic:20", NO_ANSWERS, tmp_path)


def test_a_file_that_no_longer_fits_its_source_ends_the_ingestion(pets: Path) -> None:
    mend(pets, ("cat/3.jpg", "cat", "dog"))
    (pets / "cat" / "3.jpg").unlink()
    with pytest.raises(IngestError, match=r"pets.corrections.csv has corrections of pictures that"):
        span(pets)
