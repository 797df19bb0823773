"""Where images come from: `open_source` turns what the user names into a `Source`."""

import zipfile
from collections.abc import Callable
from pathlib import Path

from data import IngestError
from data.sources.archive import ArchiveSource
from data.sources.drawn import SyntheticSource
from data.sources.folder import FolderSource
from data.sources.source import Source

_HDF5_SUFFIXES = (".h5", ".hdf5")
_SPECS = (
    "Expected synthetic, synthetic:COUNT, signs, or the path of a folder, a .zip or an .h5 file."
)


def open_source(
    spec: str | Path,
    *,
    seed: int = 0,
    cache: Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Source:
    """Opens what the user names.

    Args:
        spec: `synthetic` or `synthetic:COUNT` (drawn hands), `signs` (downloads the public
            archive), or the path of a folder, a .zip, an .h5 file or a folder of .h5 files. A
            folder that is itself called `signs` is `./signs`.
        seed: The seed of drawn hands.
        cache: Where a download is kept, by default the user's cache folder.
        progress: Called with bytes done and all bytes during a download.

    Raises:
        IngestError: There is no such thing, or it is of no known kind.
    """
    if isinstance(spec, str):
        kind, _, count = spec.strip().partition(":")
        if kind == "synthetic":
            return _synthetic(spec, count, seed)
        if spec == "signs":
            return _download(cache, progress)
    path = Path(spec).expanduser()
    if not str(spec).strip() or not path.exists():
        raise IngestError(f"there is no {str(spec)!r}. {_SPECS}")
    path = path.absolute()
    return _folder(path) if path.is_dir() else _file(path)


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
    import platformdirs

    from data.sources.download import download

    folder = cache or platformdirs.user_cache_path("signs-pipeline")
    return ArchiveSource(download(folder, progress).absolute())


def _file(path: Path) -> Source:
    try:
        if not path.is_file():
            raise IngestError(f"{path} is neither a folder nor a regular file. {_SPECS}")
        if path.stat().st_size == 0:
            raise IngestError(f"{path} is empty: zero bytes")
        if path.suffix.lower() in _HDF5_SUFFIXES:
            return _hdf5(path)
        if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
            return ArchiveSource(path)
        with path.open("rb") as file:
            if file.read(8) == b"\x89HDF\r\n\x1a\n":
                return _hdf5(path)
    except PermissionError as err:
        raise IngestError(f"cannot read {path}: {err.strerror}") from err
    raise IngestError(f"{path} is neither a .zip nor an .h5 file. {_SPECS}")


def _folder(path: Path) -> Source:
    try:
        inner = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as err:
        raise IngestError(f"cannot list the folder {path}: {err.strerror}") from err
    if not inner:
        raise IngestError(f"the folder {path} is empty. Expected one folder per class.")
    if any(entry.is_dir() for entry in inner):
        return FolderSource(path)
    arrays = [entry for entry in inner if entry.suffix.lower() in _HDF5_SUFFIXES]
    archives = [entry for entry in inner if entry.suffix.lower() == ".zip"]
    if archives:
        names = ", ".join(entry.name for entry in (*archives, *arrays))
        raise IngestError(f"the folder {path} holds {names}: name the one to ingest.")
    if len(arrays) > 2:
        raise IngestError(
            f"the folder {path} holds {len(arrays)} .h5 files: name the one to ingest."
        )
    return _hdf5(*arrays) if arrays else FolderSource(path)


def _hdf5(*paths: Path) -> Source:
    from data.sources.course_hdf5 import Hdf5Source

    return Hdf5Source(paths)
