"""Fetches the public SIGNS archive: resumable, checked, and whole or not at all."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from data import IngestError
from data.sources.archive import SIGNS_SHA256
from data.sources.source import file_sha256
from signs import durable

SIGNS_URL = (
    "https://raw.githubusercontent.com/HectorPulido/signs-dataset-with-pytorch-opencv/"
    "99b1f432b4a44cbca0f30bfc84b2dbf5cb56b5c5/source/64x64_SIGNS.zip"
)
_TIMEOUT_S = 20.0
_BLOCK = 1 << 16
# The archive has 1.1 MB: whatever sends more sends something else.
_MOST_BYTES = 100 * 2**20


def download(
    folder: Path,
    progress: Callable[[int, int | None], None] | None = None,
    *,
    url: str = SIGNS_URL,
    sha256: str = SIGNS_SHA256,
) -> Path:
    """Returns the path of the archive in `folder`, fetching it if it is not there.

    Args:
        folder: Where to keep it.
        progress: Called with the bytes that are here, and all bytes where the server says so. By
            default a bar is drawn if the standard error is a terminal.
        url: Where to fetch it from.
        sha256: What its content must hash to.

    Raises:
        IngestError: There is no network, or what came is something else.
    """
    path = folder / url.rsplit("/", 1)[-1]
    folder.mkdir(parents=True, exist_ok=True)
    with durable.lock(path.with_suffix(".lock")):
        if path.exists() and file_sha256(path) == sha256:
            return path
        part = path.with_suffix(".part")
        by_hand = f"Download it by hand from {url} and give its path with --data."
        try:
            if progress:
                _fetch(url, part, progress)
            else:
                _fetch_with_bar(url, part)
        # Broken off: HTTPException. No network: URLError. Too slow: TimeoutError.
        except (OSError, http.client.HTTPException) as err:
            reason = getattr(err, "reason", None) or err
            raise IngestError(
                f"cannot download SIGNS: {reason}. What came is kept, and the next try continues.\n"
                + by_hand
            ) from err
        if (received := file_sha256(part)) != sha256:
            part.unlink()
            raise IngestError(
                f"the download is not the SIGNS archive: SHA-256 {received}, expected {sha256}.\n"
                + by_hand
            )
        durable.replace(part, path)
    return path


def _fetch(url: str, part: Path, progress: Callable[[int, int | None], None]) -> None:
    """Appends to `part` what is missing of it."""
    here = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={here}-"} if here else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as err:
        if err.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is here already; the checksum tells whether it is right
        raise
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            here = 0  # a server that cannot continue starts again
        length = response.headers.get("Content-Length")
        total = here + int(length) if length and length.isdecimal() else None
        with part.open("ab" if here else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                here += len(block)
                progress(here, total)
                if here > _MOST_BYTES:
                    break
    if total is not None and here < total:
        raise http.client.IncompleteRead(b"", total - here)


def _fetch_with_bar(url: str, part: Path) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("SIGNS", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("download", total=None)
        _fetch(url, part, lambda done, total: bar.update(task, completed=done, total=total))
