"""What is in a span: manifest.json beside the split folders.

{"format": 1, "name": ..., "class_names": [...], "counts": {split: {class: n}}, "shards": [...]}

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
from signs.features import MANIFEST, SPLITS

FORMAT = 1


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
        if found != FORMAT:
            raise IngestError(f"{path} has the format {found}, expected {FORMAT}. {again}")
        checksum = fields.pop("checksum", None)
        if checksum is not None and checksum != _checksum(fields):
            raise IngestError(f"{path} was edited since it was written. {again}")
        fields.pop("warnings", None)
        try:
            fields["class_names"] = tuple(fields["class_names"])
            fields["findings"] = tuple(_finding(**one) for one in fields.get("findings", ()))
            fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
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
        path = directory / shard.path
        if not path.is_file():
            found[shard.path] = "is missing"
        elif (size := path.stat().st_size) != shard.bytes:
            found[shard.path] = f"has {size} bytes instead of {shard.bytes}"
        else:
            try:
                if file_sha256(path) != shard.sha256:
                    found[shard.path] = "differs from its checksum"
            except IngestError:  # as on a disk that fails
                found[shard.path] = "cannot be read"
    return found


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
