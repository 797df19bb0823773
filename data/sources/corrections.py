"""Corrections: classes of pictures that a person has mended, kept beside the source.

    photos/                      the source, which is never changed
    photos.corrections.csv       id,label,corrected: a row for each picture, in the order of ids

    corrections_path -> Corrections.load -> Corrected(source) -> items under their corrected classes

`id` is the picture's source id, `label` the class that the source gives it, `corrected` the right
one, which must be a class of the source. Whatever reads the source applies them, and a span's
manifest lists them in its settings.
"""

import csv
import dataclasses
import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from data import IngestError
from data.sources import bucket
from data.sources.source import Emit, Ignored, Item, Progress, Rejection, Source, Surveyed
from signs import durable

COLUMNS = ("id", "label", "corrected")
_SUFFIX = ".corrections.csv"
_SHOWN = 3


class Correction(NamedTuple):
    """One picture's class, as it is in the source and as it should be."""

    id: str
    label: str
    corrected: str


@dataclasses.dataclass(frozen=True)
class Corrections:
    """The corrections of a source.

    Attributes:
        path: The file.
        by_id: By source id, in the order of ids.
    """

    path: Path
    by_id: Mapping[str, Correction]

    @classmethod
    def of(cls, path: Path, rows: Iterable[Correction]) -> Self:
        """Sorts rows.

        Raises:
            IngestError: A picture has two classes.
        """
        by_id: dict[str, Correction] = {}
        for row in rows:
            other = by_id.setdefault(row.id, row)
            if other != row:
                raise IngestError(
                    f"{path} contradicts itself: {row.id} is corrected to {other.corrected!r} and "
                    f"to {row.corrected!r}. Leave one of the rows"
                    if other.corrected != row.corrected
                    else f"{path} contradicts itself: {row.id} is under {other.label!r} and under "
                    f"{row.label!r}. Leave one of the rows"
                )
        return cls(path, dict(sorted(by_id.items())))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a file; one that is not there corrects nothing.

        Raises:
            IngestError: It cannot be read, or contradicts itself.
        """
        if not path.exists():
            return cls(path, {})
        rows = read_table(path, COLUMNS)
        return cls.of(path, (Correction(*(row[name] for name in COLUMNS)) for row in rows))

    def save(self) -> None:
        """Writes the file, whole or not at all; without corrections there is none.

        Raises:
            IngestError: It cannot be written.
        """
        try:
            if self.by_id:
                durable.write_text(self.path, self._text())
            else:
                self.path.unlink(missing_ok=True)
        except OSError as err:
            raise IngestError(
                f"cannot write {self.path}: {err.strerror}. Corrections lie beside their source: "
                "make a link to it where you may write, and name the link with --data"
            ) from err

    def as_settings(self) -> Mapping[str, object]:
        """Returns what a manifest tells of them: it is part of what identifies a span."""
        if not self.by_id:
            return {}
        digest = hashlib.sha256(self._text().encode()).hexdigest()
        return {"sha256": digest, "rows": [list(one) for one in self.by_id.values()]}

    def _text(self) -> str:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(self.by_id.values())
        return text.getvalue()


@dataclasses.dataclass(frozen=True)
class Corrected:
    """A source whose pictures are under their corrected classes.

    Attributes:
        source: Gives the images.
        corrections: Of some of them.
    """

    source: Source
    corrections: Corrections

    def survey(self, emit: Emit) -> Surveyed:
        """Lists the items; the fingerprint stays the source's.

        Raises:
            IngestError: A correction is of a picture that is not there, or that is in a third
                class by now, or to a class that there is not; or the source makes no sense.
        """
        left = dict(self.corrections.by_id)
        moved: list[str] = []

        def take(found: Item | Rejection | Ignored | Progress) -> None:
            if isinstance(found, Item) and (one := left.pop(found.source_id, None)):
                if found.class_name not in (one.label, one.corrected):
                    moved.append(f"{one.id} is under {found.class_name!r}, not {one.label!r}")
                found = dataclasses.replace(found, class_name=one.corrected)
            elif isinstance(found, Rejection):
                left.pop(found.source_id, None)
            emit(found)

        surveyed = self.source.survey(take)
        known = set(surveyed.class_names)
        unknown = [
            f"{one.corrected!r} for {one.id}"
            for one in self.corrections.by_id.values()
            if one.corrected not in known
        ]
        self._check([*left], f"of pictures that {surveyed.name} does not have")
        self._check(
            unknown, f"to classes that {surveyed.name} does not have ({', '.join(sorted(known))})"
        )
        self._check(moved, "of pictures whose classes have changed since")
        return surveyed

    def read(self, item: Item) -> bytes:
        """Returns the bytes of one image."""
        return self.source.read(item)

    def close(self) -> None:
        """Closes the source."""
        self.source.close()

    def _check(self, wrong: list[str], what: str) -> None:
        if wrong:
            more = f" and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
            raise IngestError(
                f"{self.corrections.path} has corrections {what}: {'; '.join(wrong[:_SHOWN])}"
                f"{more}. Mend those rows, or remove them"
            )


def corrections_path(spec: str | Path, cache: Path) -> Path | None:
    """Returns where the corrections of a source lie: beside it, or beside what is kept of it here.

    None where it lies nowhere itself.

    Args:
        spec: What `data.sources.open_source` understands. A link's corrections lie beside the link.
        cache: Where downloads are kept.
    """
    text = str(spec).strip()
    if isinstance(spec, str) and text.partition(":")[0] == "synthetic":
        return None
    if isinstance(spec, str) and text == "signs":
        from data.sources.download import SIGNS_URL

        return cache / f"{SIGNS_URL.rsplit('/', 1)[-1]}{_SUFFIX}"
    if isinstance(spec, str) and bucket.is_address(spec):
        return bucket.kept_in(spec, cache) / f"{bucket.Address.parse(spec).name}{_SUFFIX}"
    path = Path(spec).expanduser().absolute()
    return path.with_name(f"{path.name}{_SUFFIX}") if path.name else None


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Reads a CSV with a header, as a person or a spreadsheet wrote it.

    Raises:
        IngestError: It cannot be read, or misses one of the columns or a value of a row.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        # Spreadsheets of some languages write semicolons.
        delimiter = ";" if head.count(";") > head.count(",") else ","
        rows = [*csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)]
    except OSError as err:
        raise IngestError(f"cannot read {path}: {err.strerror}") from err
    except (csv.Error, UnicodeDecodeError) as err:
        raise IngestError(f"{path} is no table in CSV: {err}") from err
    names = [*csv.reader([head.strip()], delimiter=delimiter)]
    if missing := [name for name in columns if not names or name not in names[0]]:
        raise IngestError(f"{path} has no column {', '.join(missing)}: its first line names them")
    for number, row in enumerate(rows, start=2):
        if any(row[name] is None for name in columns):
            raise IngestError(f"{path}, row {number}, has fewer values than columns")
    return [{name: row[name].strip() for name in columns} for row in rows]
