"""Where images come from: `open_source` turns what the user names into a `Source`."""

import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path

from data import IngestError
from data.sources import bucket, table
from data.sources.archive import ArchiveSource
from data.sources.drawn import SyntheticSource
from data.sources.folder import FolderSource
from data.sources.layouts.answers import NO_ANSWERS, NO_CLASSES, Answers
from data.sources.records import RecordsSource, record_files
from data.sources.source import Source

_HDF5_SUFFIXES = (".h5", ".hdf5")
_SPECS = (
    "Expected synthetic, synthetic:COUNT, signs, or the path or the address (s3://, gs://) of a "
    "folder, a .zip, a .csv or .jsonl table, or an .h5 file."
)
# Kinds of archives that are not read: where a mark of theirs is, and what unpacks them.
_PACKED = {
    "a RAR archive": (0, b"Rar!\x1a\x07", "unrar x {} images/"),
    "a 7z archive": (0, b"7z\xbc\xaf\x27\x1c", "7z x {} -oimages"),
    "a tar archive": (257, b"ustar", "tar xf {} -C images"),
    "a packed (gzip) archive": (0, b"\x1f\x8b", "tar xf {} -C images"),
    "a packed (xz) archive": (0, b"\xfd7zXZ\0", "tar xf {} -C images"),
    "a packed (bzip2) archive": (0, b"BZh", "tar xf {} -C images"),
    "a packed (zstd) archive": (0, b"\x28\xb5\x2f\xfd", "tar xf {} -C images"),
}
_HEAD_BYTES = 512


def open_source(
    spec: str | Path,
    *,
    seed: int = 0,
    answers: Answers = NO_ANSWERS,
    cache: Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Source:
    """Opens what the user names.

    Args:
        spec: `synthetic` or `synthetic:COUNT` (drawn hands), `signs` (downloads the public
            archive), or the path of a folder, a .zip, a table (.csv, .tsv, .jsonl), an .h5 file or
            a folder of .h5 files, or its address in an object store, `s3://bucket/folder`. A folder
            that is itself called `signs` is `./signs`.
        seed: The seed of drawn hands.
        answers: What the user says of a folder or a zip that does not say it itself.
        cache: Where a download is kept, by default the user's cache folder.
        progress: Called with bytes done and all bytes during a download.

    Raises:
        IngestError: There is no such thing, or it is of no known kind.
    """
    source = _open(spec, seed, answers, cache, progress)
    if answers != NO_ANSWERS and not isinstance(source, FolderSource | ArchiveSource):
        raise IngestError("--layout, --split and --zip-encoding are for folders and .zip files")
    if answers.zip_encoding and not isinstance(source, ArchiveSource):
        raise IngestError("--zip-encoding is for .zip files: names on disk have an encoding")
    if isinstance(source, FolderSource) and source.table and answers != NO_ANSWERS:
        raise IngestError("a table says classes and splits itself: leave out --layout and --split")
    return source


def open_pictures(
    spec: str | Path, *, progress: Callable[[int, int | None], None] | None = None
) -> Source:
    """Opens what the user names where nobody asks for classes, and they may be missing.

    Args:
        spec: As `open_source` takes it, or TFRecord files of tf.train.Examples: one, or a folder of
            them, such as a span.
        progress: As `open_source` takes it.

    Raises:
        IngestError: There is no such thing, or it is of no known kind.
    """
    is_named = isinstance(spec, str) and spec.strip().partition(":")[0] in ("synthetic", "signs")
    if not is_named:
        spec = _here(spec, None, progress)
        if files := record_files(spec):
            return RecordsSource(spec, files)
    return _open(spec, 0, NO_CLASSES, None, progress)


def check_source(spec: str) -> None:
    """Raises IngestError unless there is what the user names; none of it is read."""
    if bucket.is_address(spec):
        bucket.check(spec)
    elif spec != "signs" and spec.partition(":")[0] != "synthetic":
        _existing(spec)


def _existing(spec: str | Path) -> Path:
    path = Path(spec).expanduser()
    if not str(spec).strip() or not path.exists():
        raise IngestError(f"there is no {str(spec)!r}. {_SPECS}")
    return path.absolute()


def _here(
    spec: str | Path, cache: Path | None, progress: Callable[[int, int | None], None] | None
) -> Path:
    """Returns the path of what the user names; of an address, that of its copy."""
    if isinstance(spec, str) and bucket.is_address(spec):
        return bucket.fetch(spec, cache or _user_cache(), progress).absolute()
    return _existing(spec)


def _open(
    spec: str | Path,
    seed: int,
    answers: Answers,
    cache: Path | None,
    progress: Callable[[int, int | None], None] | None,
) -> Source:
    if isinstance(spec, str):
        kind, _, count = spec.strip().partition(":")
        if kind == "synthetic":
            return _synthetic(spec, count, seed)
        if spec == "signs":
            return _download(cache, progress)
    path = _here(spec, cache, progress)
    return _folder(path, answers) if path.is_dir() else _file(path, answers)


def _synthetic(spec: str, count: str, seed: int) -> Source:
    if spec.strip() == "synthetic":
        return SyntheticSource(seed=seed)
    try:
        return SyntheticSource(int(count), seed)
    except ValueError as err:
        if isinstance(err, IngestError):
            raise
        raise IngestError(
            f"synthetic:COUNT needs a whole number, as in synthetic:1200. Received: {spec!r}"
        ) from err


def _download(cache: Path | None, progress: Callable[[int, int | None], None] | None) -> Source:
    from data.sources.download import download

    return ArchiveSource(download(cache or _user_cache(), progress).absolute())


def _user_cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("signs-pipeline")


def _file(path: Path, answers: Answers) -> Source:
    suffix = path.suffix.lower()
    try:
        if not path.is_file():
            raise IngestError(f"{path} is neither a folder nor a regular file. {_SPECS}")
        if path.stat().st_size == 0:
            raise IngestError(f"{path} is empty: zero bytes")
        if suffix in _HDF5_SUFFIXES:
            return _hdf5(path)
        if suffix == ".zip" or zipfile.is_zipfile(path):
            return ArchiveSource(path, answers)
        if suffix in table.SUFFIXES:
            return FolderSource(path.parent, answers, path.name)
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except PermissionError as err:
        raise IngestError(f"cannot read {path}: {err.strerror}") from err
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _hdf5(path)
    for kind, (at, magic, unpack) in _PACKED.items():
        if head[at : at + len(magic)] == magic:
            raise IngestError(
                f"{path} is {kind}, which is not read. Unpack it and name the folder, as in\n"
                f"  mkdir images && {unpack.format(shlex.quote(str(path)))}"
            )
    raise IngestError(f"{path} is of no kind that is known. {_SPECS}")


def _folder(path: Path, answers: Answers) -> Source:
    try:
        inner = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as err:
        raise IngestError(f"cannot list the folder {path}: {err.strerror}") from err
    if not inner:
        raise IngestError(f"the folder {path} is empty. Expected one folder per class.")
    if any(entry.is_dir() or entry.name in table.METADATA for entry in inner):
        return FolderSource(path, answers)
    arrays = [entry for entry in inner if entry.suffix.lower() in _HDF5_SUFFIXES]
    archives = [entry for entry in inner if entry.suffix.lower() == ".zip"]
    if archives:
        names = ", ".join(entry.name for entry in (*archives, *arrays))
        raise IngestError(f"the folder {path} holds {names}: name the one to ingest.")
    if len(arrays) > 2:
        raise IngestError(
            f"the folder {path} holds {len(arrays)} .h5 files: name the one to ingest."
        )
    return _hdf5(*arrays) if arrays else FolderSource(path, answers)


def _hdf5(*paths: Path) -> Source:
    from data.sources.course_hdf5 import Hdf5Source

    return Hdf5Source(paths)
