"""Spans on disk: a span appears whole or not at all.

root/.lock                    held for moments: to make, sweep and publish
root/.ingest-*/               one per running ingest, with a lock of its own; swept when stale
root/{name}/span-N/v-M/       published by one rename
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from data import IngestError
from data.manifest import Manifest
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


def find(
    dataset: Path, fingerprint: str, settings: Mapping[str, object], tool_version: str
) -> Manifest | None:
    """Returns the newest version that was made from this content in this way, if there is one.

    Its files may be damaged.

    Raises:
        IngestError: A manifest is damaged.
    """
    for span, version, directory in reversed(versions(dataset)):
        manifest = Manifest.load(directory)
        if (manifest.fingerprint, dict(manifest.settings), manifest.tool_version) == (
            fingerprint,
            dict(settings),
            tool_version,
        ):
            assert (manifest.span, manifest.version) == (span, version)
            return manifest
    return None


def versions(dataset: Path) -> list[tuple[int, int, Path]]:
    """Returns span, version and folder of all that is published of a data set, in order."""
    found = []
    for path in dataset.glob(SPAN_PATTERN.format(SPAN="*", VERSION="*")):
        if match := _VERSION.fullmatch(path.relative_to(dataset).as_posix()):
            found.append((int(match[1]), int(match[2]), path))
    return sorted(found)


def directory_of(dataset: Path, manifest: Manifest) -> Path:
    """Returns the folder of a published version."""
    return dataset / SPAN_PATTERN.format(SPAN=manifest.span, VERSION=manifest.version)


def publish(
    built: Path, dataset: Path, describe: Callable[[int, int], Manifest]
) -> tuple[Manifest, bool]:
    """Makes a finished folder visible as the next span, or as the next version of its content's.

    Args:
        built: Holds the split folders; in the same file system.
        dataset: The data set's folder.
        describe: Returns the manifest for a span and version number.

    Returns:
        The manifest, and False if another ingest of the same was faster and its span stands.
    """
    with durable.lock(dataset.parent / _LOCK):
        draft = describe(1, 1)
        if faster := find(dataset, draft.fingerprint, draft.settings, draft.tool_version):
            return faster, False
        span, version = _next_number(dataset, draft.fingerprint)
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
    if draft.shards != Manifest.load(directory).shards:
        path, what = next(iter(damaged.items()))
        raise IngestError(
            f"{directory / path} {what}, and its source gives other files by now. "
            f"Remove {directory} and ingest again."
        )
    for path in damaged:
        (directory / path).parent.mkdir(exist_ok=True)
        durable.replace(built / path, directory / path)


def _next_number(dataset: Path, fingerprint: str) -> tuple[int, int]:
    existing = versions(dataset)
    for span, _, directory in reversed(existing):
        if Manifest.load(directory).fingerprint == fingerprint:
            return span, 1 + max(version for number, version, _ in existing if number == span)
    # Also past folders that hold no version: a rename onto one would fail.
    taken = [int(p.name[5:]) for p in dataset.glob("span-*") if p.name[5:].isdecimal()]
    return 1 + max(taken, default=0), 1
