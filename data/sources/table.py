"""Tables that say which class and split each image has.

    path,label,split        or      {"file_name": "a/1.jpg", "label": "cat"}
    a/1.jpg,cat,train               {"file_name": "a/2.jpg", "label": "dog"}

CSV with commas, semicolons or tabs, and JSON lines; UTF-8, with or without a mark at its start.
Paths are relative to the table. A table is read line by line: no list of its rows is held.
"""

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import BinaryIO

from data import IngestError
from data.sources.names import Parts, display_name, source_id, split_of
from data.sources.source import Rejection
from data.splits import Proportions
from signs.features import TRAIN

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
# As Hugging Face's `imagefolder` has them.
METADATA = ("metadata.csv", "metadata.jsonl")

_PATH = ("path", "file", "filename", "file_name", "image")
_LABEL = ("label", "class", "class_name", "category")
_SPLIT = ("split", "subset")
_DELIMITERS = ",;\t"
_MOST_HEADER = 1 << 16  # bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One image that a table names.

    Attributes:
        path: Relative to the source.
        class_name: What it shows.
        split: One of SPLITS, or None if the table does not say.
    """

    path: Parts
    class_name: str
    split: str | None


def has_labels(file: BinaryIO, name: str) -> bool:
    """Returns whether the first line of a table names a path and a label."""
    try:
        line = file.read(_MOST_HEADER).decode("utf-8-sig", "replace").splitlines()[0]
        return _is_complete(json.loads(line) if _is_json(name) else _header(line)[1])
    except (IndexError, ValueError):
        return False


def labelled(
    tables: Sequence[tuple[Parts, str | None]], open_table: Callable[[Parts], BinaryIO]
) -> tuple[Proportions | None, Iterator[Row | Rejection]]:
    """Reads the tables of a source, twice: for the splits that they know, then row by row.

    Args:
        tables: The path of each, and the split of its rows where they do not tell one.
        open_table: Opens one.

    Returns:
        How to divide the rows whose split is None, and the rows or what is wrong with one.

    Raises:
        IngestError: A table as a whole cannot be read; also while the rows are taken.
    """

    def read() -> Iterator[Row | Rejection]:
        for table, split in tables:
            with open_table(table) as file:
                for found in rows(file, table):
                    if isinstance(found, Row) and found.split is None:
                        found = dataclasses.replace(found, split=split)
                    yield found

    given = {found.split for found in read() if isinstance(found, Row) and found.split}
    proportions = Proportions.missing(given)

    def placed() -> Iterator[Row | Rejection]:
        seen = set[int]()  # some 60 bytes a row; two of a billion rows may share a number
        for found in read():
            if isinstance(found, Row):
                number = hash(found.path)
                if number in seen:
                    found = Rejection(source_id(found.path), "named a second time")
                elif given and found.split is None:
                    found = Rejection(source_id(found.path), "no split")
                elif found.split == TRAIN and proportions:
                    found = dataclasses.replace(found, split=None)
                seen.add(number)
            yield found

    return proportions, placed()


def rows(file: BinaryIO, table: Parts) -> Iterator[Row | Rejection]:
    """Yields the rows of a table, or what is wrong with one.

    Args:
        file: The table; the caller closes it.
        table: Its path in the source.

    Raises:
        IngestError: The table as a whole cannot be read.
    """
    name = "/".join(table)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    number = 0
    try:
        for number, fields in _records(text, name):
            yield _row(fields, f"{name}, line {number}", table[:-1])
    except UnicodeDecodeError as err:
        raise IngestError(
            f"{name} is not UTF-8 after line {number}: save it as UTF-8, in Excel as "
            f"'CSV UTF-8'. {err.reason}"
        ) from err
    except csv.Error as err:
        raise IngestError(f"{name}, line {number + 1}: {err}") from err
    finally:
        text.detach()


def _records(text: io.TextIOWrapper, name: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yields the number of a line, and its values by the names of the columns."""
    if _is_json(name):
        for number, line in enumerate(text, 1):
            if line.strip():
                yield number, _json_object(line, f"{name}, line {number}")
        return
    head = text.readline()
    delimiter, columns = _header(head)
    if not _is_complete(columns):
        raise IngestError(
            f"the first line of {name} must name the columns path and label, as in "
            f"path,label,split. It is {head.strip()[:60]!r}"
        )
    reader = csv.reader(text, delimiter=delimiter)
    for values in reader:
        if values:
            yield reader.line_num + 1, dict(zip(columns, values, strict=False))


def _json_object(line: str, where: str) -> Mapping[str, object]:
    try:
        value = json.loads(line)
    except ValueError as err:
        raise IngestError(f"{where}: no JSON: {err}") from err
    if not isinstance(value, dict):
        raise IngestError(f"{where}: must be an object, as in {{'file_name': 'a.jpg', 'label': 1}}")
    return {str(key).casefold(): value for key, value in value.items()}


def _row(fields: Mapping[str, object], where: str, folder: Parts) -> Row | Rejection:
    path, label, split = (_value(fields, names) for names in (_PATH, _LABEL, _SPLIT))
    if not path:
        return Rejection(where, "no path")
    text = path.replace("\\", "/")
    parts = PurePosixPath(text).parts
    if text.startswith("/") or ".." in parts or text[1:2] == ":":
        return Rejection(path, "outside the folder of the table")
    if not label:
        return Rejection(path, "no label")
    known = split_of(split) if split else None
    if split and known is None:
        return Rejection(path, f"{split!r} is not train, eval or test")
    return Row((*folder, *parts), display_name(label), known)


def _value(fields: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    """Returns the first value under one of the names as text; None if there is none."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value).strip() or None
    return None


def _header(line: str) -> tuple[str, list[str]]:
    """Returns the delimiter and the names of the columns, in lower case."""
    for delimiter in _DELIMITERS:
        names = next(csv.reader([line], delimiter=delimiter), [])
        columns = [name.strip().casefold() for name in names]
        if _is_complete(columns):
            return delimiter, columns
    return ",", []


def _is_complete(columns: object) -> bool:
    names = (
        {str(name).casefold() for name in columns} if isinstance(columns, list | dict) else set()
    )
    return bool(names & {*_PATH}) and bool(names & {*_LABEL})


def _is_json(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in (".jsonl", ".ndjson")
