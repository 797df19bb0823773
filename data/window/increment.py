"""What a source has that the spans before have not, and what they have that is gone from it.

    listing.jsonl, Window -> narrow -> listing.jsonl of what is new or changed, Increment

Pictures are told by their content, and compared with their names, classes and splits. Lists lie in
files, dealt out by content, and one such file at a time is held in memory.
"""

import contextlib
import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from data.converting.plan import Listing, item_digest, item_line, read_item
from data.sources.source import Item, Rejection, Source
from data.window import named
from data.window.named import Named, content_of
from data.window.window import Window
from signs.errors import UserError

_BUCKET = 100_000  # pictures
_MOST_BUCKETS = 256  # files that are open at once
_Held = tuple[Named, str | None]  # a picture of a span, and its split


@dataclasses.dataclass
class Increment:
    """What lies between the spans before and the source.

    Attributes:
        base: The spans before.
        removed: Contents that are gone from the source, sorted.
        changed: How many pictures are listed again, since class, split or name has changed.
        kept: Images that stay as they are, by split and class name.
        placed: Pictures that have been divided already, by split and class name.
    """

    base: Window
    removed: list[str] = dataclasses.field(default_factory=list)
    changed: int = 0
    kept: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    placed: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)


def narrow(listing: Listing, source: Source, base: Window, folder: Path) -> Increment:
    """Leaves in a listing what is to be converted: what is new, or is not as it was.

    A picture that was divided before keeps its split, whatever else has changed.

    Args:
        listing: Of all of the source; closed.
        source: Reads pictures whose content is not known from the survey.
        base: The spans before.
        folder: For files that are made meanwhile.
    """
    found = Increment(base)
    number = math.ceil(max(listing.items + base.examples, 1) / _BUCKET)
    here = [folder / f"here-{bucket:03d}" for bucket in range(min(number, _MOST_BUCKETS))]
    before = [folder / f"before-{bucket:03d}" for bucket in range(len(here))]
    with _dealing(here) as deal:
        for item in listing:
            try:
                content = content_of(item_digest(source, item))
            except UserError as err:
                listing.reject(Rejection(item.source_id, str(err)))
            else:
                deal(content, item_line(item))
    with _dealing(before) as deal:
        for number, part in enumerate(base.parts):
            shards = part.manifest.shards
            for one in named.read(part.directory):
                split = None if one.shard is None else shards[one.shard].split
                deal(one.content, json.dumps([number, split, *one]) + "\n")

    def left() -> Iterator[Item]:
        for paths in zip(here, before, strict=True):
            now, then = _items(paths[0]), _decided(paths[1])
            found.removed += [
                content
                for content, entries in then.items()
                if content not in now and entries[0][1] is not None
            ]
            for content, items in now.items():
                entries = then.get(content, ())
                if entries and entries[0][1] is None:  # it could not be used, and still cannot
                    for item in items:
                        listing.reject(Rejection(item.source_id, entries[0][0].text or ""))
                else:
                    yield from _differing(items, entries, found)

    listing.replace(left())
    found.removed.sort()
    return found


def _differing(items: Sequence[Item], entries: Sequence[_Held], found: Increment) -> Sequence[Item]:
    """Returns the copies of a picture if they are not those that there were, and counts them."""
    if not entries:
        return items
    split = entries[0][1]
    assert split is not None
    if any(item.split is None for item in items):
        found.placed[split, min(item.class_name for item in items)] += 1
    items = [
        dataclasses.replace(item, split=split) if item.split is None else item for item in items
    ]
    now = sorted((item.source_id, item.class_name, str(item.split)) for item in items)
    if now == sorted((str(one.source_id), str(one.text), str(split)) for one, split in entries):
        found.kept.update((str(item.split), item.class_name) for item in items)
        return ()
    found.changed += 1
    return items


def _items(path: Path) -> Mapping[str, list[Item]]:
    """Returns the items of a bucket by content."""
    by_content: dict[str, list[Item]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            content, rest = line.split(" ", 1)
            by_content.setdefault(content, []).append(read_item(rest))
    return by_content


def _decided(path: Path) -> Mapping[str, list[_Held]]:
    """Returns what the newest span that names a picture says of it, by content."""
    newest: dict[str, tuple[int, list[_Held]]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            number, split, *fields = json.loads(line.split(" ", 1)[1])
            one = Named(*fields)
            if one.content not in newest or newest[one.content][0] < number:
                newest[one.content] = (number, [])
            if one.source_id is not None:
                newest[one.content][1].append((one, split))
    return {
        content: [one for one in entries if one[1] is not None] or entries
        for content, (_, entries) in newest.items()
        if entries
    }


@contextlib.contextmanager
def _dealing(paths: Sequence[Path]) -> Iterator[Callable[[str, str], None]]:
    """Yields what writes a line, behind its content, to the file of that content."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open("w", encoding="utf-8")) for path in paths]

        def deal(content: str, line: str) -> None:
            files[int(content[:8], 16) % len(files)].write(f"{content} {line}")

        yield deal
