"""A table that a person has filled in -> the corrections of its source.

id,label,corrected (and `source`, and other columns) -> relabel -> photos.corrections.csv
"""

import contextlib
import dataclasses
from collections.abc import Container, Mapping
from pathlib import Path

from data import IngestError
from data.converting.convert import DOWNLOADS
from data.sources import open_source
from data.sources.corrections import (
    COLUMNS,
    Corrected,
    Correction,
    Corrections,
    corrections_path,
    read_table,
)
from data.sources.layouts.answers import Answers
from data.sources.source import Ignored, Item, Progress, Rejection, Source

_SOURCE = "source"


@dataclasses.dataclass(frozen=True)
class Relabelled:
    """What `relabel` has done.

    Attributes:
        source: Whose labels.
        path: The file of its corrections.
        corrected: Pictures that have another class now than before.
        withdrawn: Of them, those that are again under the class that the source gives them.
        all: How many corrections there are now.
    """

    source: str
    path: Path
    corrected: int
    withdrawn: int
    all: int


def relabel(table: Path, source: str | None, answers: Answers, root: Path) -> Relabelled:
    """Adds what a person has filled in to the corrections of a source.

    Args:
        table: The person's file. What its row corrects anew, replaces an earlier correction.
        source: What `data.sources.open_source` understands; None takes the table's.
        answers: What the user says of a source that does not say it itself.
        root: Holds the data sets, and downloads.

    Raises:
        IngestError: The table or the source cannot be used, or they do not belong together.
    """
    rows = read_table(table, COLUMNS)
    filled = [Correction(*(row[name] for name in COLUMNS)) for row in rows if row["corrected"]]
    if not filled:
        raise IngestError(
            f"{table} corrects nothing: write the right class into the column `corrected` of the "
            "pictures whose labels are wrong"
        )
    wanted = Corrections.of(table, filled).by_id
    source = source or _source_of(table)
    path = corrections_path(source, root / DOWNLOADS)
    if path is None:
        raise IngestError(f"{source} is drawn: it has no labels that anybody could correct")
    opened = open_source(source, answers=answers, cache=root / DOWNLOADS)
    earlier = Corrections.load(path).by_id
    labels = _labels(opened, wanted)
    current = {**labels, **{one.id: one.corrected for one in earlier.values()}}
    rows_now = dict(earlier)
    for one in wanted.values():
        label = labels.get(one.id, one.label)
        if one.label not in (label, current.get(one.id)):
            raise IngestError(
                f"{table} is of other labels than {source} has: {one.id} is under {label!r}, not "
                f"{one.label!r}. Look for suspects again"
            )
        rows_now[one.id] = Correction(one.id, label, one.corrected)
    made = Corrections.of(table, rows_now.values())
    with contextlib.closing(opened):
        Corrected(opened, made).survey(lambda _: None)  # raises where they do not fit the source
    kept = [one for one in made.by_id.values() if one.corrected != one.label]
    Corrections.of(path, kept).save()
    changed = [one for one in wanted.values() if one.corrected != current[one.id]]
    withdrawn = sum(one.corrected == labels[one.id] for one in changed)
    return Relabelled(source, path, len(changed), withdrawn, len(kept))


def _source_of(table: Path) -> str:
    sources = {row[_SOURCE] for row in read_table(table, (_SOURCE,))}
    if len(sources) != 1 or not (source := sources.pop()):
        raise IngestError(f"{table} does not name one source: give it with --data")
    return source


def _labels(source: Source, ids: Container[str]) -> Mapping[str, str]:
    """Returns the classes that a source gives some of its pictures."""
    labels: dict[str, str] = {}

    def take(found: Item | Rejection | Ignored | Progress) -> None:
        if isinstance(found, Item) and found.source_id in ids:
            labels[found.source_id] = found.class_name

    source.survey(take)
    return labels
