"""Files and folders that appear whole or not at all and outlive a power cut; locks a kill frees.

    write aside -> sync the file -> rename -> sync the folder

A reader sees what was there before, or all of the new. What is written aside lies hidden beside its
target, in the same file system, and goes when writing fails; only a kill may leave it.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

_POLL_S = 0.05


class LockedError(Exception):
    """Somebody else holds the lock."""


def write_text(path: Path, text: str) -> None:
    """Writes a file of UTF-8 text; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file, or puts another one in its place. Its mode is what open() gives a new file.

    Raises:
        OSError: it cannot be written; what was there before is as it was.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with aside.open("xb") as file:
            file.write(data)
        replace(aside, path)
    except OSError as err:  # nobody knows the name of what is written aside
        raise OSError(err.errno, err.strerror, str(path)) from err
    finally:
        aside.unlink(missing_ok=True)


def replace(built: Path, target: Path) -> None:
    """Moves a file that is written to where others look, over what is there.

    Raises:
        OSError: it cannot be synced or moved, as to another file system.
    """
    _sync(built)
    built.replace(target)
    _sync(target.parent)


def publish_folder(built: Path, target: Path) -> None:
    """Moves a folder that is filled to where others look, with all that is in it.

    Two who publish the same target at once need a lock.

    Raises:
        FileExistsError: something is there.
        OSError: it cannot be synced or moved, as to another file system.
    """
    for folder, _, names in os.walk(built):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))
    if target.exists():  # a rename would take the place of a folder that is empty
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    built.rename(target)
    _sync(target.parent)


@contextlib.contextmanager
def lock(path: Path, timeout_s: float | None = None) -> Iterator[None]:
    """Holds a lock for the length of the block; the kernel frees it when the process ends.

    Processes that it forks hold it as well; those that it starts as other programs do not.

    Args:
        path: a file, which is made if it is missing and stays; or a folder that exists.
        timeout_s: seconds to wait for who holds it; None waits for ever.

    Raises:
        LockedError: somebody else holds it; another thread of this process does so, too.
        OSError: the folder is missing or read-only, or its file system has no locks.
    """
    descriptor = _locked(path, timeout_s)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path, timeout_s: float | None) -> int:
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        # NFS locks only what is open for writing; a folder can be read alone.
        flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
        descriptor = os.open(path, flags, 0o666)
        try:
            _wait_for(descriptor, path, deadline)
            # Whoever held it may have removed the file, and then this lock shuts nobody out.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _wait_for(descriptor: int, path: Path, deadline: float | None) -> None:
    try:
        if deadline is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as err:
                if time.monotonic() >= deadline:
                    raise LockedError(f"{path} is locked by another") from err
            time.sleep(_POLL_S)
    except OSError as err:  # as of a network mount without a lock service
        raise OSError(err.errno, err.strerror, str(path)) from err


def _sync(path: Path) -> None:
    """Puts a file's content, or a folder's names, on the disk."""
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as err:
        # Some network mounts can sync files alone.
        if err.errno != errno.EINVAL or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
