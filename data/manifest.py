"""What is in a span: manifest.json beside the split folders.

{"format": 2, "name": ..., "class_names": [...], "counts": {split: {class: n}}, "shards": [...]}

A span either holds all of its source, or goes on from another, its `base`, and holds what was new
or changed since; see `data.window`. Spans of format 1 hold all.

`checksum` is the SHA-256 of all the rest, as compact JSON with sorted keys: whoever edits a name or
a number by hand is told so. Spans of tool version 1 have none, and `warnings` in place of findings.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from data import IngestError
from data.findings import Finding
from data.sources.source import file_sha256
from signs.features import MANIFEST, PICTURES, SPLITS

FORMAT = 2
_READ = (1, FORMAT)


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file.

    Attributes:
        path: Relative to the manifest, with slashes.
        split: One of `signs.features.SPLITS`.
        bytes: Its size.
        sha256: Of the file, in hexadecimal.
        records: How many examples it holds.
    """

    path: str
    split: str
    bytes: int
    sha256: str
    records: int


@dataclasses.dataclass(frozen=True)
class Base:
    """The version of a span that another goes on from.

    Attributes:
        span: Its number.
        version: Its version's.
        checksum: Of its manifest.
    """

    span: int
    version: int
    checksum: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a version of a span holds and where it came from.

    Attributes:
        name: The data set.
        span: Counts the contents, from 1.
        version: Counts the conversions of one content, from 1.
        class_names: In label order.
        counts: Examples by split and class name.
        shards: The files.
        source: Where the images came from, in words.
        is_synthetic: Whether they are drawings.
        fingerprint: SHA-256 of the source's content.
        settings: What else decides the bytes of the files.
        tool_version: Of the conversion.
        created: ISO 8601, UTC.
        rejected: How many files could not become examples, by reason.
        ignored: How much litter was passed over, by kind.
        findings: What a reader of the scores should know.
        base: What the span goes on from; None where it holds all of its source.
        all_counts: As `counts`, with those of the spans that it goes on from; of format 1 empty.
        changed: How many pictures it holds again, since their class, split or name has changed.
        removed: How many pictures of the spans before are gone.
        pictures: SHA-256 of pictures.jsonl.gz, see `data.window.named`; None in format 1.
        format: Of this file.
    """

    name: str
    span: int
    version: int
    class_names: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    shards: tuple[Shard, ...]
    source: str
    is_synthetic: bool
    fingerprint: str
    settings: Mapping[str, object]
    tool_version: str
    created: str
    rejected: Mapping[str, int]
    ignored: Mapping[str, int]
    findings: tuple[Finding, ...] = ()
    base: Base | None = None
    all_counts: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    changed: int = 0
    removed: int = 0
    pictures: str | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        names = self.class_names
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"`class_names` must be two or more names. Received: {names}")
        if set(self.counts) != set(SPLITS):
            raise ValueError(f"`counts` must have {SPLITS}. Received: {tuple(self.counts)}")
        for split, counts in self.counts.items():
            if set(counts) != set(names) or min(counts.values()) < 0:
                raise ValueError(f"`counts` of {split} must have a number for every class")
            records = sum(shard.records for shard in self.shards if shard.split == split)
            if records != sum(counts.values()):
                raise ValueError(
                    f"`counts` of {split} add up to {sum(counts.values())}, its shards to {records}"
                )

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return sum(shard.records for shard in self.shards)

    @property
    def rejected_count(self) -> int:
        """How many files could not become examples."""
        return sum(self.rejected.values())

    def split_size(self, split: str) -> int:
        """Returns how many examples a split has."""
        return sum(self.counts[split].values())

    def all_of(self, split: str) -> int:
        """Returns how many examples a split of the source has."""
        return sum((self.all_counts or self.counts)[split].values())

    @property
    def checksum(self) -> str:
        """What manifest.json has under that name."""
        return _checksum(dataclasses.asdict(self))

    def to_json(self) -> str:
        """Returns the text of manifest.json."""
        fields = dataclasses.asdict(self)
        fields["checksum"] = _checksum(fields)
        return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Reads the manifest of a version of a span.

        Raises:
            IngestError: It is missing, damaged, edited or of another format.
        """
        path = directory / MANIFEST
        again = "Remove that folder and ingest again."
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as err:
            raise IngestError(f"there is no {MANIFEST} in {directory}. {again}") from err
        except (OSError, ValueError) as err:
            raise IngestError(f"{path} cannot be read: {err}. {again}") from err
        found = fields.get("format") if isinstance(fields, dict) else None
        if found not in _READ:
            raise IngestError(f"{path} has the format {found}, expected {FORMAT}. {again}")
        checksum = fields.pop("checksum", None)
        if checksum is not None and checksum != _checksum(fields):
            raise IngestError(f"{path} was edited since it was written. {again}")
        fields.pop("warnings", None)
        try:
            fields["class_names"] = tuple(fields["class_names"])
            fields["findings"] = tuple(_finding(**one) for one in fields.get("findings", ()))
            fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
            fields["base"] = Base(**base) if (base := fields.get("base")) else None
            return cls(**fields)
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise IngestError(f"{path} is damaged: {err}. {again}") from err


def _checksum(fields: Mapping[str, object]) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _finding(*, examples: Sequence[str], **fields: Any) -> Finding:
    return Finding(**fields, examples=tuple(examples))


def damage(directory: Path, manifest: Manifest) -> dict[str, str]:
    """Reads every shard and holds it against its checksum.

    Returns:
        What is wrong with each that is not as it was written, by its path in the manifest.
    """
    found = {}
    for shard in manifest.shards:
        if what := _damage(directory / shard.path, shard.sha256, shard.bytes):
            found[shard.path] = what
    if manifest.pictures and (what := _damage(directory / PICTURES, manifest.pictures)):
        found[PICTURES] = what
    return found


def _damage(path: Path, sha256: str, size: int | None = None) -> str | None:
    if not path.is_file():
        return "is missing"
    if size not in (None, found := path.stat().st_size):
        return f"has {found} bytes instead of {size}"
    try:
        return None if file_sha256(path) == sha256 else "differs from its checksum"
    except IngestError:  # as on a disk that fails
        return "cannot be read"


def check_strangers(directory: Path, manifest: Manifest) -> None:
    """Raises IngestError if a split folder holds anything else: ExampleGen would read it."""
    known = {directory / shard.path for shard in manifest.shards}
    for split in SPLITS:
        folder = directory / split
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path not in known:
                raise IngestError(
                    f"{path} is no file of this span, and would be read as one: move it away."
                )


def verify(directory: Path) -> Manifest:
    """Checks every shard against its checksum and returns the manifest.

    Raises:
        IngestError: The manifest or a shard is missing or damaged, or a file does not belong here.
    """
    manifest = Manifest.load(directory)
    check_strangers(directory, manifest)
    for path, what in damage(directory, manifest).items():
        raise IngestError(
            f"{directory / path} {what}. Ingest the same source again, which repairs it, or copy "
            "the file here anew."
        )
    return manifest
