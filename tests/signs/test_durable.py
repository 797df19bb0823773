"""Whole or not at all: with full disks, kills in the middle, and two who want the same."""

import contextlib
import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from signs import durable
from signs.durable import LockedError
from tests import ROOT


@contextlib.contextmanager
def python(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that has printed its first line, and is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"from signs import durable; {script}", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def tree(folder: Path, content: bytes = b"graph") -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(content)
    (folder / "variables" / "index").write_bytes(content)
    return folder


@contextlib.contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Files cannot grow beyond `limit` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


# --- Files ----------------------------------------------------------------------------------------


def test_a_file_is_written_and_put_in_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "state"
    durable.write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    durable.write_bytes(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert names(tmp_path) == ["state"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_mode_is_that_of_a_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        durable.write_text(tmp_path / "state", "x")
        with durable.lock(tmp_path / "lock"):
            pass
    finally:
        os.umask(before)
    for name in ("state", "lock"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


def test_a_full_disk_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state"
    durable.write_text(path, "old")
    with full_disk(1000), pytest.raises(OSError, match="File too large"):
        durable.write_bytes(path, bytes(100_000))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["state"]


def test_a_target_that_is_a_folder_or_has_none(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        durable.write_text(tmp_path / "folder", "x")
    with pytest.raises(FileNotFoundError):
        durable.write_text(tmp_path / "missing" / "state", "x")
    assert names(tmp_path) == ["folder"]


def test_the_file_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        calls.append("sync folder" if path == tmp_path else "sync file")

    def replaced(self: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    durable.write_text(tmp_path / "state", "x")
    assert calls == ["sync file", "rename", "sync folder"]


_WRITER = """
import itertools, sys
from pathlib import Path
print("ready", flush=True)
for number in itertools.count():
    durable.write_bytes(Path(sys.argv[1]), str(number % 10).encode() * 200_000)
"""


def test_no_kill_tears_a_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for _ in range(4):
        durable.write_bytes(path, b"9" * 200_000)
        with python(_WRITER, path):
            _wait_until(lambda: list(tmp_path.glob(".state.*")))  # in the middle of a write
        for aside in tmp_path.glob(".state.*"):
            aside.unlink()
        content = path.read_bytes()
        assert len(content) == 200_000
        assert len(set(content)) == 1


def test_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "state"

    def work(letter: bytes) -> None:
        for _ in range(20):
            durable.write_bytes(path, letter * 100_000)

    threads = [threading.Thread(target=work, args=[letter]) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert path.read_bytes() in (b"a" * 100_000, b"b" * 100_000)
    assert names(tmp_path) == ["state"]


# --- Folders --------------------------------------------------------------------------------------


def test_a_folder_is_moved_with_everything_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tree(tmp_path / "built")
    (built / "dangling").symlink_to("nowhere")
    synced: list[Path] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", record)
    (tmp_path / "models").mkdir()
    durable.publish_folder(built, tmp_path / "models" / "1")
    assert names(tmp_path / "models" / "1") == ["dangling", "saved_model.pb", "variables"]
    assert not built.exists()
    assert set(synced[:-1]) == {
        built,
        built / "saved_model.pb",
        built / "variables",
        built / "variables" / "index",
    }
    assert synced[-1] == tmp_path / "models"


@pytest.mark.parametrize("filled", [True, False])
def test_a_folder_never_takes_anothers_place(tmp_path: Path, filled: bool) -> None:
    target = tmp_path / "1"
    if filled:
        tree(target, b"old")
    else:
        target.mkdir()
    with pytest.raises(FileExistsError):
        durable.publish_folder(tree(tmp_path / "built"), target)
    assert names(tmp_path / "built") == ["saved_model.pb", "variables"]
    assert names(target) == (["saved_model.pb", "variables"] if filled else [])


# --- Locks ----------------------------------------------------------------------------------------

_HOLDER = """
import sys
from pathlib import Path
with durable.lock(Path(sys.argv[1])):
    print("ready", flush=True)
    input()
"""


@pytest.mark.parametrize("on_a_folder", [False, True])
def test_one_holds_it_and_a_kill_frees_it(tmp_path: Path, on_a_folder: bool) -> None:
    path = tmp_path if on_a_folder else tmp_path / "lock"
    with python(_HOLDER, path) as holder:
        for timeout_s in (0, 0.1):
            begun = time.monotonic()
            with (
                pytest.raises(LockedError, match=f"{path} is locked by another"),
                durable.lock(path, timeout_s=timeout_s),
            ):
                pass
            assert time.monotonic() - begun >= timeout_s
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        with durable.lock(path, timeout_s=5):
            pass


@pytest.mark.parametrize("timeout_s", [None, 60.0])
def test_who_waits_gets_it_when_the_other_ends(tmp_path: Path, timeout_s: float | None) -> None:
    path, got = tmp_path / "lock", threading.Event()

    def wait() -> None:
        with durable.lock(path, timeout_s):
            got.set()

    with python(_HOLDER, path) as holder:
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        assert not got.wait(0.2)
        assert holder.stdin
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert got.wait(10)
        thread.join(10)


def test_threads_shut_each_other_out_and_an_error_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with contextlib.suppress(KeyError), durable.lock(path):
        with pytest.raises(LockedError), durable.lock(path, timeout_s=0):
            pass
        raise KeyError
    with durable.lock(path, timeout_s=0):
        pass


def test_a_child_does_not_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with durable.lock(path):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with durable.lock(path, timeout_s=0):
            pass
    finally:
        child.kill()
        child.wait(10)


def test_a_lock_whose_file_was_removed_shuts_nobody_out_and_is_taken_anew(tmp_path: Path) -> None:
    path, got = tmp_path / "lock", threading.Event()

    def wait() -> None:
        with durable.lock(path):
            with pytest.raises(LockedError), durable.lock(path, timeout_s=0):
                pass
            got.set()

    with durable.lock(path):
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        _wait_until(lambda: sum(_is(fd, path) for fd in Path("/proc/self/fd").iterdir()) == 2)
        path.unlink()
    assert got.wait(10)
    thread.join(10)


def _wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"


def _is(descriptor: Path, path: Path) -> bool:
    try:
        return descriptor.readlink() == path
    except OSError:
        return False


def test_where_no_lock_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError), durable.lock(tmp_path / "missing" / "lock"):
        pass
    with pytest.raises(OSError, match="/proc/signs-lock"), durable.lock(Path("/proc/signs-lock")):
        pass

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for timeout_s in (None, 0):
        with pytest.raises(OSError) as caught, durable.lock(tmp_path / "lock", timeout_s):
            pass
        assert str(caught.value) == f"[Errno 37] No locks available: '{tmp_path}/lock'"
