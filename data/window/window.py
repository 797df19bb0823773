"""Spans on disk -> the pictures that they come to.

    span-3/v-1 -> history: span-1/v-2, span-2/v-1, span-3/v-1 -> Choice -> fold -> Window

A span either holds all of its source, and a window begins anew with it, or goes on from another,
its base: it holds what was new or changed, and names what is gone. Its manifest has the checksum of
its base's, so that a window is always what was ingested.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from data import IngestError, spans
from data.manifest import Manifest
from data.window import named
from data.window.choice import ALL, Choice
from signs.features import SPLITS


@dataclasses.dataclass(frozen=True)
class Part:
    """What a window takes of a span.

    Attributes:
        directory: Of the span's version.
        manifest: What is in there.
        left_out: Source ids of pictures that a later span decides about, by number of the shard.
    """

    directory: Path
    manifest: Manifest
    left_out: Mapping[int, frozenset[str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Window:
    """The pictures of some spans.

    Attributes:
        parts: The spans, oldest first.
        counts: Examples by split and class name.
    """

    parts: tuple[Part, ...]
    counts: Mapping[str, Mapping[str, int]]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the spans."""
        return tuple(part.manifest.span for part in self.parts)

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return sum(map(self.split_size, SPLITS))

    def split_size(self, split: str) -> int:
        """Returns how many examples a split has."""
        return sum(self.counts[split].values())


def window(directory: Path, choice: str = ALL) -> Window:
    """Returns what some of the spans come to that lead to a version of a span.

    Args:
        directory: The version's folder, `{data set}/span-N/v-M`.
        choice: See `data.window.choice`.

    Raises:
        IngestError: There are no such spans, or a manifest or a list is damaged.
    """
    chosen, dataset = Choice.parse(choice), directory.parent.parent
    found = [one for one in history(directory) if chosen.takes(one.manifest.span)]
    if not found:
        # A later span has begun anew: what is wanted leads to another one.
        ends = [path for span, _, path in spans.versions(dataset) if chosen.takes(span)]
        found = history(ends[-1]) if ends else []
        found = [one for one in found if chosen.takes(one.manifest.span)]
    if not found:
        there = ", ".join(str(span) for span in sorted({one[0] for one in spans.versions(dataset)}))
        raise IngestError(f"{dataset.name} has no spans {choice}. There are: {there}")
    return fold(found[-chosen.last :] if chosen.last else found)


def history(directory: Path) -> list[Part]:
    """Returns the spans that a version goes on from, oldest first, and itself.

    Raises:
        IngestError: One of them is missing, damaged, or not the one that it was.
    """
    found = [Part(directory, Manifest.load(directory))]
    while base := found[-1].manifest.base:
        folder = spans.directory_of(directory.parent.parent, base)
        manifest = Manifest.load(folder)
        if manifest.checksum != base.checksum:
            raise IngestError(
                f"{folder} is not the span any more that {found[-1].directory} goes on from. "
                "Ingest the source again with --full"
            )
        found.append(Part(folder, manifest))
    return found[::-1]


def fold(parts: Sequence[Part]) -> Window:
    """Finds what each of some spans that go on from one another is left with.

    Memory grows with the number of pictures in all spans but the oldest.
    """
    counts = {split: dict.fromkeys(parts[-1].manifest.class_names, 0) for split in SPLITS}
    decided: set[bytes] = set()
    folded = []
    for part in reversed(parts):
        for split, by_class in part.manifest.counts.items():
            for class_name, count in by_class.items():
                counts[split][class_name] += count
        left_out: dict[int, set[str]] = {}
        own: set[bytes] = set()
        for one in named.read(part.directory) if len(parts) > 1 else ():
            content = bytes.fromhex(one.content)
            if content not in decided:
                if part is not parts[0]:
                    own.add(content)
            elif one.shard is not None and one.source_id is not None and one.text is not None:
                left_out.setdefault(one.shard, set()).add(one.source_id)
                counts[part.manifest.shards[one.shard].split][one.text] -= 1
        decided |= own
        frozen = {shard: frozenset(ids) for shard, ids in left_out.items()}
        folded.append(dataclasses.replace(part, left_out=frozen))
    return Window(tuple(folded[::-1]), counts)
