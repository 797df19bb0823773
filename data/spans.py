"""Spans on disk: a span appears whole or not at all.

root/.lock                    held for moments: to make, sweep and publish
root/.ingest-*/               one per running ingest, with a lock of its own; swept when stale
root/{name}/span-N/v-M/       published by one rename
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from data import IngestError
from data.manifest import Base, Manifest
from signs import durable
from signs.features import MANIFEST, SPAN_PATTERN

_LOCK, _TEMPORARY = ".lock", ".ingest-"
_VERSION = re.compile(
    re.escape(SPAN_PATTERN).replace(r"\{SPAN\}", r"(\d+)").replace(r"\{VERSION\}", r"(\d+)")
)


@contextlib.contextmanager
def workplace(root: Path) -> Iterator[Path]:
    """Makes a hidden folder beside the spans, for one ingest, and removes it in the end.

    What killed ingests have left is removed too: their folders are no longer locked.
    """
    root.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        with durable.lock(root / _LOCK):
            for stale in root.glob(f"{_TEMPORARY}*"):
                # Whoever is at work holds its folder's lock; whoever has just ended removes it.
                with (
                    contextlib.suppress(durable.LockedError, FileNotFoundError),
                    durable.lock(stale / _LOCK, timeout_s=0),
                ):
                    shutil.rmtree(stale, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=root))
            stack.enter_context(durable.lock(folder / _LOCK))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder


class OvertakenError(Exception):
    """Another ingestion was faster, and what this one goes on from is the newest no more."""


def find(
    dataset: Path,
    fingerprint: str,
    settings: Mapping[str, object],
    tool_version: str,
    *,
    whole: bool = False,
) -> Manifest | None:
    """Returns the version of the newest span that was made from this content in this way, if any.

    Its files may be damaged. An earlier span of this content is not looked for: the newest is what
    the source was when it was last ingested.

    Args:
        dataset: The data set's folder.
        fingerprint: Of the source's content.
        settings: What else decides the bytes; the number of shards follows from the others.
        tool_version: Of the conversion.
        whole: Whether it must hold all of its source.

    Raises:
        IngestError: A manifest is damaged.
    """
    wanted = (fingerprint, _identity(settings), tool_version)
    for manifest in of_newest(dataset):
        found = (manifest.fingerprint, _identity(manifest.settings), manifest.tool_version)
        if found == wanted and not (whole and manifest.base):
            return manifest
    return None


def find_base(
    dataset: Path,
    class_names: Sequence[str],
    settings: Mapping[str, object],
    tool_version: str,
) -> Manifest | None:
    """Returns the version of the newest span that others may go on from, if any.

    Its classes are the same, in the same order: labels are numbers. Its pictures were divided and
    converted in the same way. Corrections may differ: a corrected picture is one that has changed.
    """
    wanted = (tuple(class_names), _identity(settings, "corrections"), tool_version)
    for manifest in of_newest(dataset):
        found = (
            manifest.class_names,
            _identity(manifest.settings, "corrections"),
            manifest.tool_version,
        )
        if found == wanted and manifest.pictures:
            return manifest
    return None


def of_newest(dataset: Path) -> Iterator[Manifest]:
    """Yields the manifests of all versions of the newest span, the newest first."""
    published = versions(dataset)
    for span, version, directory in reversed(published):
        if span == published[-1][0]:
            manifest = Manifest.load(directory)
            if (manifest.span, manifest.version) != (span, version):
                raise IngestError(
                    f"{directory} is a copy of span {manifest.span}, version {manifest.version}: "
                    "a span keeps its number. Move the copy away"
                )
            yield manifest


def _identity(settings: Mapping[str, object], *others: str) -> Mapping[str, object]:
    return {name: value for name, value in settings.items() if name not in ("shards", *others)}


def versions(dataset: Path) -> list[tuple[int, int, Path]]:
    """Returns span, version and folder of all that is published of a data set, in order."""
    found = []
    for path in dataset.glob(SPAN_PATTERN.format(SPAN="*", VERSION="*")):
        if match := _VERSION.fullmatch(path.relative_to(dataset).as_posix()):
            found.append((int(match[1]), int(match[2]), path))
    return sorted(found)


def directory_of(dataset: Path, of: Manifest | Base) -> Path:
    """Returns the folder of a published version."""
    return dataset / SPAN_PATTERN.format(SPAN=of.span, VERSION=of.version)


def publish(
    built: Path,
    dataset: Path,
    describe: Callable[[int, int], Manifest],
    *,
    whole: bool = False,
) -> tuple[Manifest, bool]:
    """Makes a finished folder visible as the next span, or as another version of the newest.

    It is a version where the newest span is of the same content, and where it goes on from none.

    Args:
        built: Holds the split folders; in the same file system.
        dataset: The data set's folder.
        describe: Returns the manifest for a span and version number.
        whole: As of `find`.

    Returns:
        The manifest, and False if another ingest of the same was faster and its span stands.

    Raises:
        OvertakenError: What the span goes on from is not the newest any more.
    """
    with durable.lock(dataset.parent / _LOCK):
        draft = describe(1, 1)
        faster = find(dataset, draft.fingerprint, draft.settings, draft.tool_version, whole=whole)
        if faster:
            return faster, False
        if draft.base and draft.base.span != versions(dataset)[-1][0]:
            raise OvertakenError
        span, version = _next_number(dataset, draft)
        manifest = describe(span, version)
        (built / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        target = directory_of(dataset, manifest)
        if version == 1:
            # The whole span in one rename: a span folder without a version is never seen.
            wrapped = built.parent / target.parent.name
            wrapped.mkdir()
            built.rename(wrapped / target.name)
            built, target = wrapped, target.parent
        dataset.mkdir(exist_ok=True)
        durable.publish_folder(built, target)
    return manifest, True


def repair(built: Path, draft: Manifest, directory: Path, damaged: Mapping[str, str]) -> None:
    """Puts files that were made again in the place of damaged ones.

    Whoever reads meanwhile finds the one or the other, whole; all other files stay untouched.

    Args:
        built: Holds the split folders; in the same file system.
        draft: What is in there.
        directory: Of the published version.
        damaged: What is wrong with which of its files.

    Raises:
        IngestError: The files that were made again are not those of the manifest.
    """
    published = Manifest.load(directory)
    if (draft.shards, draft.pictures) != (published.shards, published.pictures):
        path, what = next(iter(damaged.items()))
        raise IngestError(
            f"{directory / path} {what}, and its source gives other files by now. "
            f"Remove {directory} and ingest again."
        )
    for path in damaged:
        (directory / path).parent.mkdir(exist_ok=True)
        durable.replace(built / path, directory / path)
    # Whoever has read the damaged files tells by its time that it must read them again.
    (directory / MANIFEST).touch()


def _next_number(dataset: Path, draft: Manifest) -> tuple[int, int]:
    newest = [*of_newest(dataset)]
    if not draft.base and draft.fingerprint in [one.fingerprint for one in newest]:
        return newest[0].span, newest[0].version + 1
    # Also past folders that hold no version: a rename onto one would fail.
    taken = [int(p.name[5:]) for p in dataset.glob("span-*") if p.name[5:].isdecimal()]
    return 1 + max(taken, default=0), 1
