"""`signs doctor`: what on this machine would stop the pipeline, each thing with its remedy.

    checks(workspace) -> findings -> render, exit_code

Nothing is changed, and no check takes the others down: one that fails itself is a finding too.
"""

import contextlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.converting.room import in_units
from modules.machines.gpu_diagnosis import hidden_gpu
from pipeline import machine
from pipeline.commands.options import (
    WORKSPACE,
    AnyWorkspaceOption,
    JsonOption,
    console,
    examples,
    print_json,
    usable,
)
from pipeline.environment import Workspace
from pipeline.keeping import metadata_file
from pipeline.running import memory
from pipeline.showing.wording import about
from signs import durable, process
from signs.errors import UserError
from signs.features import GRPC_PORT, SPLITS

Level = Literal["ok", "warn", "fail"]

LOCKS = Path(__file__).resolve().parents[2] / "requirements"  # in a checkout
PROTOBUF = ("6.31.1", "7")  # half-open: generated code of 6.31 is in TensorFlow
_PLACES = ("purelib", "platlib")  # where packages are installed
# What differs between the locks: the wheels that decide which of them a machine takes.
BY_LOCK = {"ml-metadata": "ml_metadata", "tensorflow-data-validation": "tensorflow_data_validation"}
DISK_GIB = (2, 5)  # below the first no run fits, below the second it may get tight
SPAN_GIB = 8  # 1.6 GB/s: larger ones would keep a person waiting
TEMPORARY_GIB = (0.05, 0.5)  # the same; what a run makes itself lies in its workspace
MEMORY_GIB = (2, 4)  # the same; a run of SIGNS takes up to 4
IMPORT_TIMEOUT_S = 180.0  # 5 s as a rule; a minute on a cold disk without .pyc files
_GIB = 2**30
_SETUP = "run `make setup`"
_QUICKLY = "import gc; gc.disable(); "  # as signs.heavy_imports, with nothing of ours imported
_LOOKS: dict[Level, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warn": ("warn", "yellow"),
    "fail": ("fail", "red"),
}


@dataclass(frozen=True)
class Finding:
    """What one check found, and what to do about it (empty where nothing needs doing)."""

    name: str
    level: Level
    found: str
    remedy: str = ""


app = typer.Typer()


@app.command(epilog=examples("signs doctor", "signs doctor --workspace /big/disk"))
def doctor(workspace: AnyWorkspaceOption = WORKSPACE, as_json: JsonOption = False) -> int:
    """Check what the pipeline needs: Python, packages, GPU, memory, disk."""
    with Console(stderr=True).status("Looking at this machine"):
        findings = checks(workspace)
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        render(console(), findings)
    return exit_code(findings)


def checks(workspace: Path) -> list[Finding]:
    """Checks everything; takes about as long as importing TensorFlow twice.

    Args:
        workspace: the folder that runs would use; it need not exist.
    """
    lock = _lock()
    importing: list[str] = []
    all_checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", _python),
        ("system", _system),
        ("packages", partial(_packages, lock)),
        *((name, partial(_imports, name, lock)) for name in BY_LOCK),
        ("protobuf", _protobuf),
        ("TensorFlow", partial(_tensorflow, importing)),
        ("GPU", partial(_gpu, importing)),  # after TensorFlow, which says what it sees
        ("Java", _java),
        ("cores", _cores),
        ("memory", _memory),
        ("user", _user),
        ("temporary files", _temporary_files),
        ("disk", partial(_disk, workspace)),
        ("workspace", partial(_workspace, workspace)),
        ("metadata", partial(_metadata, workspace)),
        ("port", _port),
        ("spans", partial(_spans, workspace)),
        ("room", partial(_room, workspace)),
    ]
    return [_guarded(name, check) for name, check in all_checks]


def exit_code(findings: Sequence[Finding]) -> int:
    """1 where the pipeline cannot run, else 0."""
    return int(any(finding.level == "fail" for finding in findings))


def render(console: Console, findings: Sequence[Finding]) -> None:
    """Prints the findings, each remedy under its finding, and what they come to."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        word, style = _LOOKS[finding.level]
        words = Text(finding.found)
        if finding.remedy:
            words.append(f"\n-> {finding.remedy}", style="dim" if finding.level == "ok" else style)
        table.add_row(Text(word, style=style), Text(finding.name), words)
    console.print(table)
    failed = sum(finding.level == "fail" for finding in findings)
    warned = sum(finding.level == "warn" for finding in findings)
    if failed:
        end = f"The pipeline cannot run here yet: {failed} of {len(findings)} checks failed."
    elif warned:
        end = f"The pipeline can run here, with {warned} warning{'s' if warned > 1 else ''}."
    else:
        end = "The pipeline can run here."
    console.print(Text(f"\n{end}", style="bold red" if failed else "bold"))


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as err:
        return Finding(name, "warn", f"could not be checked: {type(err).__name__}: {err}")


# --- Python and what is installed -----------------------------------------------------------------


def _lock() -> Path | None:
    """The lock for this machine; None where there is none."""
    try:
        return LOCKS / f"{machine.lock_for(machine.here())}.txt"
    except machine.UnsupportedMachineError:
        return None


def _python() -> Finding:
    version = platform.python_version()
    found = f"{platform.python_implementation()} {version} ({sys.prefix})"
    lock = _lock()
    fitting = machine.pythons_for(lock.stem if lock else machine.NATIVE)
    if platform.python_implementation() == "CPython" and _numbers(version)[:2] in fitting:
        return Finding("Python", "ok", found)
    versions = ", ".join(machine.dotted(version) for version in fitting)
    return Finding("Python", "fail", found, f"install CPython {versions}, then `make clean setup`")


def _system() -> Finding:
    this = machine.here()
    try:
        return Finding("system", "ok", f"{this}: lock {machine.lock_for(this)}")
    except machine.UnsupportedMachineError as err:
        return Finding("system", "fail", str(this), str(err))


def _packages(lock: Path | None) -> Finding:
    if lock is None:
        return Finding("packages", "warn", "no lock is for this machine", "see system")
    if not lock.exists():
        return Finding(
            "packages", "warn", f"no lock to compare with at {lock}", "run in a checkout"
        )
    installed: dict[str, str] = {
        canonicalize_name(package.metadata["Name"]): package.version
        # Not on all of sys.path: setuptools, once it is imported, has packages of its own there.
        for package in metadata.distributions(path=[sysconfig.get_path(n) for n in _PLACES])
        if package.metadata["Name"]  # else a broken installation, which then counts as missing
    }
    wanted = _locked(lock)
    wrong = [
        f"{name} {version} is {installed.get(name, 'missing')}"
        for name, version in wanted.items()
        if installed.get(name) != version
    ]
    if not wanted:
        return Finding("packages", "fail", f"{lock} locks no package", "run `make lock`")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        found = f"{len(wrong)} of {len(wanted)} differ from the lock: {', '.join(wrong[:3])}{more}"
        return Finding("packages", "fail", found, "run `make clean setup`")
    return Finding("packages", "ok", f"all {len(wanted)} as locked")


def _imports(name: str, lock: Path | None) -> Finding:
    """At its locked version, and can be imported with nothing imported before it."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "fail", "not installed", _SETUP)
    locked = _locked(lock).get(name) if lock and lock.exists() else None
    if locked not in (None, version):
        return Finding(name, "fail", f"{version}, locked is {locked}", "run `make clean setup`")
    # In a process of its own: what does not fit this machine may crash.
    importing = _run(
        [sys.executable, "-c", f"{_QUICKLY}import {BY_LOCK[name]}"], timeout_s=IMPORT_TIMEOUT_S
    )
    if importing.returncode:
        found = f"{version}, but does not import: {_reason(importing)}"
        return Finding(name, "fail", found, "run `make clean setup`")
    return Finding(name, "ok", f"{version}, imports")


def _protobuf() -> Finding:
    try:
        version = metadata.version("protobuf")
    except metadata.PackageNotFoundError:
        return Finding("protobuf", "fail", "not installed", _SETUP)
    low, high = PROTOBUF
    if _numbers(low) <= _numbers(version) < _numbers(high):
        return Finding("protobuf", "ok", version)
    return Finding("protobuf", "fail", f"{version}, needed is >={low},<{high}", _SETUP)


def _tensorflow(gpus: list[str]) -> Finding:
    """Imports it in a process of its own, and adds the names of the GPUs it sees to `gpus`."""
    code = (
        f"{_QUICKLY}import json, tensorflow as tf\n"
        "gpus = tf.config.list_physical_devices('GPU')\n"
        "details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]\n"
        "print(json.dumps([tf.__version__, [d.get('device_name', 'GPU') for d in details]]))"
    )
    try:
        importing = _run([sys.executable, "-c", code], timeout_s=IMPORT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        found = f"did not import within {IMPORT_TIMEOUT_S:g} s"
        return Finding(
            "TensorFlow", "fail", found, "run `make clean setup` (it also byte-compiles)"
        )
    if importing.returncode:
        remedy = _SETUP
        if importing.returncode == -4:  # SIGILL
            remedy = "TensorFlow needs a processor with AVX: use another machine"
        return Finding("TensorFlow", "fail", f"does not import: {_reason(importing)}", remedy)
    version, names = json.loads(importing.stdout.splitlines()[-1])
    gpus += names
    return Finding("TensorFlow", "ok", f"{version}, imports")


# --- The machine ----------------------------------------------------------------------------------


def _gpu(seen: Sequence[str]) -> Finding:
    if seen:
        return Finding("GPU", "ok", f"TensorFlow sees {', '.join(seen)}")
    hidden = hidden_gpu()
    if hidden:
        return Finding("GPU", "warn", hidden.found, hidden.remedy)
    return Finding("GPU", "ok", "none: models train on the processor")


def _java() -> Finding:
    program = shutil.which("java")
    if program is None:
        return Finding("Java", "ok", "none: only the Flink and Spark runners need it")
    asking = _run([program, "-version"], timeout_s=30)
    said = (asking.stderr or asking.stdout).strip().splitlines()
    if asking.returncode or not said:
        found = f"{program} does not run: only the Flink and Spark runners need it"
        return Finding("Java", "ok", found)
    return Finding("Java", "ok", f"{said[0]} (for the Flink and Spark runners)")


def _cores() -> Finding:
    cores = process.cores()
    if cores < 2:
        return Finding("cores", "warn", f"{cores}: a run takes about twice as long as on two")
    return Finding("cores", "ok", str(cores))


def _memory() -> Finding:
    available, is_limited = memory.available()
    where = " within this container's limit" if is_limited else ""
    least, enough = MEMORY_GIB
    found = f"{available / _GIB:.1f} GiB available{where}"
    remedy = f"a run needs up to {enough} GiB: end other programs, or raise the limit"
    return _at_least("memory", available / _GIB, least, enough, found, remedy)


def _user() -> Finding:
    """Whose home libraries keep caches in; `signs.command` gives one to who has none."""
    home = Path.home()
    found = f"number {os.geteuid()}, whose home is {home}"
    if home.is_dir() and os.access(home, os.W_OK):
        return Finding("user", "ok", found)
    found += ", which cannot be written: libraries keep no caches, and some start slower"
    return Finding("user", "ok", found, "HOME=PATH names another")


def _temporary_files() -> Finding:
    wanted = os.environ.get("TMPDIR")
    try:
        place = tempfile.gettempdir()
        with tempfile.TemporaryFile() as trial:
            trial.write(b"x" * 4096)
    except OSError as err:
        found = f"cannot be written: {err.strerror}"
        return Finding("temporary files", "fail", found, "name a folder that can: TMPDIR=PATH")
    free = shutil.disk_usage(place).free / _GIB
    found = f"{free:.1f} GiB free at {place}"
    if wanted and os.path.realpath(wanted) != os.path.realpath(place):
        found += f", as TMPDIR={wanted} cannot be written"
        return Finding("temporary files", "warn", found, "name a folder that can: TMPDIR=PATH")
    remedy = "free some space there, or name another folder: TMPDIR=PATH"
    return _at_least("temporary files", free, *TEMPORARY_GIB, found, remedy)


def _disk(workspace: Path) -> Finding:
    place = _existing(workspace)
    free = shutil.disk_usage(place).free / _GIB
    least, enough = DISK_GIB
    found = f"{free:.1f} GiB free at {place}"
    remedy = "free some space, or use another disk: --workspace PATH"
    return _at_least("disk", free, least, enough, found, remedy)


def _workspace(workspace: Path) -> Finding:
    """Does what runs do in the workspace: folders, files, renames, locks and SQLite."""
    import sqlite3

    try:
        usable(workspace)
    except UserError as err:
        return Finding("workspace", "fail", str(err))
    missing: list[Path] = []
    trial: Path | None = None
    doing = "made"
    try:
        missing += [place for place in (workspace, *workspace.parents) if not place.exists()]
        workspace.mkdir(parents=True, exist_ok=True)
        trial = Path(tempfile.mkdtemp(prefix=".doctor-", dir=workspace))
        doing = "written to"
        durable.write_bytes(trial / "file", b"x" * 4096)
        doing = "locked"
        with durable.lock(trial / "lock", timeout_s=0):
            pass
        doing = "renamed within"
        (trial / "folder").mkdir()
        durable.publish_folder(trial / "folder", trial / "renamed")
        doing = "used by SQLite"
        database = sqlite3.connect(trial / "db.sqlite")
        database.execute("CREATE TABLE t (x)")
        database.commit()
        database.close()
        doing = "deleted from"
        shutil.rmtree(trial)
    except (OSError, sqlite3.Error) as err:
        reason = getattr(err, "strerror", None) or str(err)
        found = f"{workspace} cannot be {doing}: {reason}"
        remedy = "use a folder that you own on a local disk: --workspace PATH or SIGNS_WORKSPACE"
        return Finding("workspace", "fail", found, remedy)
    finally:
        if trial is not None:
            shutil.rmtree(trial, ignore_errors=True)
        for place in missing:  # the innermost first
            with contextlib.suppress(OSError):  # never made, or in use by now
                place.rmdir()
    return Finding("workspace", "ok", f"{workspace} can be written")


def _metadata(workspace: Path) -> Finding:
    """Whether the next run can read what earlier ones have kept."""
    kept = Workspace(workspace)
    try:
        metadata_file.check(kept)
    except (UserError, OSError) as err:
        return Finding("metadata", "fail", str(err))
    return Finding("metadata", "ok", "whole" if kept.metadata.exists() else "none yet")


def _port() -> Finding:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", GRPC_PORT))
        except OSError:
            found = f"{GRPC_PORT} is taken by another program"
            return Finding("port", "ok", found, "give `signs serve` another one: --port")
    return Finding("port", "ok", f"{GRPC_PORT} is free for `signs serve`")


def _spans(workspace: Path) -> Finding:
    """Holds what the next run of each data set or test set would read against its checksums."""
    from data import IngestError, spans
    from data.manifest import verify
    from data.window.window import history
    from pipeline.environment import Workspace

    roots = (Workspace(workspace).data, Workspace(workspace).also_test)
    folders = [path for root in roots for path in sorted(root.glob("*")) if path.is_dir()]
    newest = [directory for path in folders for _, _, directory in spans.versions(path)[-1:]]
    wrong, unread = [], 0
    for directory in newest:
        try:
            parts = history(directory)
            size = sum(shard.bytes for part in parts for shard in part.manifest.shards)
            if size > SPAN_GIB * _GIB:
                unread += 1
                continue
            for part in parts:
                verify(part.directory)
        except IngestError as err:
            wrong.append(str(err))
    if wrong:
        more = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
        return Finding("spans", "warn", wrong[0] + more)
    found = f"{len(newest) - unread} whole" if newest else "none yet"
    if unread:
        found += f", {unread} of more than {SPAN_GIB} GiB not read: `signs ingest` reads them"
    return Finding("spans", "ok", found)


def _room(workspace: Path) -> Finding:
    """Whether the next run of the largest data set fits in memory and on the disk."""
    from data import IngestError, spans
    from data.manifest import Manifest
    from pipeline.config import Data, default_config
    from pipeline.running.estimate import forecast
    from pipeline.running.room import lacking, needs_of

    kept = Workspace(workspace)
    newest = [versions[-1] for path in kept.data.glob("*") if (versions := spans.versions(path))]
    manifests = []
    for _, _, directory in newest:
        with contextlib.suppress(IngestError):  # told of by `spans`
            manifests.append(Manifest.load(directory))
    if not manifests:
        return Finding("room", "ok", "no data set yet to make room for")
    largest = max(manifests, key=lambda one: one.examples)
    counts = {split: largest.split_size(split) for split in SPLITS}
    config = default_config(Data(largest.name, largest.span, largest.class_names, counts))
    needs = needs_of(config)
    found = (
        f"a run of {largest.name} ({largest.examples:,} images) takes "
        f"{about(forecast(config, kept.runs(largest.name)).total)}, {in_units(needs.memory)} of "
        f"memory and {in_units(needs.disk)} of the disk"
    )
    try:
        short = lacking(config, _existing(workspace))
    except UserError as err:
        return Finding("room", "fail", found, str(err))
    return Finding("room", "warn" if short else "ok", found, " ".join(short))


# --- Probes ---------------------------------------------------------------------------------------


def _at_least(
    name: str, value: float, least: float, enough: float, found: str, remedy: str
) -> Finding:
    if value >= enough:
        return Finding(name, "ok", found)
    return Finding(name, "warn" if value >= least else "fail", found, remedy)


def _existing(place: Path) -> Path:
    """`place`, or the nearest folder above it that exists."""
    place = place.absolute()
    return next(folder for folder in (place, *place.parents) if folder.is_dir())


def _locked(lock: Path) -> dict[str, str]:
    """Versions by package name, as a lock has them for this system and Python."""
    lines = (re.split(r"\\|#|--hash", line)[0].strip() for line in lock.read_text().splitlines())
    pins = [Requirement(line) for line in lines if line]
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (6, 33, 6) of 6.33.6rc1."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def _run(command: list[str], *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )


def _reason(run: subprocess.CompletedProcess[str]) -> str:
    """The last line that a failed program printed, or how it ended where it printed none."""
    said = (run.stderr.strip() or run.stdout.strip()).splitlines()
    return said[-1] if said else f"exit code {run.returncode}"
