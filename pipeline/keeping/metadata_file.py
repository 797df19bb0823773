"""The SQLite file of ML Metadata, looked at before TFX opens it: is it whole, may it be moved?

TFX would tell of a damaged file in SQL, minutes later. What older versions have written names its
artifacts by where the workspace lay then; here those names are made relative to it, once.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.environment import Workspace
from signs import durable
from signs.errors import UserError

BACKUP_SUFFIX = ".absolute"
_WAIT_S = 2.0
_INSIDE = ("artifacts", 5)  # artifacts/<data set>/<component>/<output>/<execution>


class MetadataError(UserError):
    """The workspace's metadata cannot be used."""


def check(workspace: Workspace) -> None:
    """Looks whether TFX can use the metadata.

    Raises:
        MetadataError: they are damaged, held by another program, or missing though there are
            artifacts.
    """
    path = workspace.metadata
    if path.is_dir():
        raise MetadataError(f"{path} is a folder, and should be a file: move it away")
    if not path.exists() or not path.stat().st_size:
        if any(workspace.artifacts.glob("*/*/*/*")):
            raise MetadataError(
                f"{path} is {'empty' if path.exists() else 'missing'}, so that what earlier runs "
                f"left in {workspace.artifacts} cannot be told apart. {_remedy(workspace)}"
            )
        return
    with _open(workspace) as database:
        found = database.execute("PRAGMA quick_check").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(str(found).splitlines()[-1])
        database.execute("SELECT schema_version FROM MLMDEnv").fetchone()


def make_relative(workspace: Workspace) -> int:
    """Makes the places of artifacts relative to the workspace; nobody else may use it meanwhile.

    The file as it was is kept beside it.

    Returns:
        How many were changed: 0 where that was done before.

    Raises:
        MetadataError: as `check`.
    """
    path = workspace.metadata
    if not path.exists() or not path.stat().st_size:
        return 0
    with _open(workspace) as database:
        rows = database.execute("SELECT id, uri FROM Artifact WHERE uri LIKE '/%'").fetchall()
        changes = [(str(place), id) for id, uri in rows if (place := inside(uri))]
        if changes:
            durable.write_bytes(path.with_name(path.name + BACKUP_SUFFIX), path.read_bytes())
            with database:
                database.executemany("UPDATE Artifact SET uri = ? WHERE id = ?", changes)
    return len(changes)


def inside(uri: str) -> Path | None:
    """Where in the workspace an artifact lies, wherever that was when it was written."""
    folder, depth = _INSIDE
    parts = Path(uri).parts[-depth:]
    return Path(*parts) if len(parts) == depth and parts[0] == folder else None


@contextmanager
def _open(workspace: Workspace) -> Iterator[sqlite3.Connection]:
    path = workspace.metadata
    try:
        with closing(sqlite3.connect(path, timeout=_WAIT_S)) as database:
            yield database
    except sqlite3.OperationalError as err:
        if "locked" in str(err):
            raise MetadataError(
                f"{path} is in use by another program: end that, then the same command again"
            ) from err
        if "no such table" in str(err):
            raise MetadataError(
                f"{path} holds something else than ML Metadata. {_remedy(workspace)}"
            ) from err
        raise MetadataError(f"{path} cannot be opened: {err}") from err
    except sqlite3.DatabaseError as err:
        raise MetadataError(f"{path} is damaged ({err}). {_remedy(workspace)}") from err


def _remedy(workspace: Workspace) -> str:
    return (
        f"Put a copy of it back, or move it and {workspace.artifacts} away: data and served models "
        "stay, and the next run makes the rest anew"
    )
