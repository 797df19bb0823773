"""Each check is broken at its real seam, and says so in words with a remedy."""

import fcntl
import io
import json
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections import namedtuple
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from pipeline import machine
from pipeline.commands import doctor
from pipeline.commands.doctor import Finding, checks, exit_code, render
from pipeline.machine import Machine
from pipeline.running import memory
from tests.kubeflow.step.spans import write_span


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a shell script on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name: str, script: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a made-up package in front of the real one."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def make(name: str, version: str, files: dict[str, bytes] | None = None) -> None:
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        for path, content in (files or {}).items():
            (site / path).write_bytes(content)
        (info / "RECORD").write_text("".join(f"{path},,\n" for path in files or {}))

    return make


# --- All of them ----------------------------------------------------------------------------------


def test_this_machine_can_run_the_pipeline(tmp_path: Path) -> None:
    workspace = tmp_path / "new" / "workspace"
    findings = checks(workspace)
    assert [finding.name for finding in findings] == [
        "Python",
        "system",
        "packages",
        "ml-metadata",
        "tensorflow-data-validation",
        "protobuf",
        "TensorFlow",
        "GPU",
        "Java",
        "cores",
        "memory",
        "user",
        "temporary files",
        "disk",
        "workspace",
        "metadata",
        "port",
        "spans",
        "room",
    ]
    by_name = {finding.name: finding for finding in findings}
    for name in ("Python", "system", "packages", "protobuf", "TensorFlow", "workspace"):
        assert by_name[name].level == "ok", by_name[name]
    for name in ("ml-metadata", "tensorflow-data-validation"):
        assert by_name[name].found == f"{metadata.version(name)}, imports"
    assert by_name["TensorFlow"].found == f"{metadata.version('tensorflow')}, imports"
    assert list(tmp_path.iterdir()) == []  # as it was


def test_a_check_that_fails_itself_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> int:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(psutil, "virtual_memory", broken)
    # What imports takes seconds, and has its tests above and below.
    monkeypatch.setattr(doctor, "_tensorflow", lambda gpus: Finding("TensorFlow", "ok", "2"))
    monkeypatch.setattr(doctor, "_imports", lambda name, lock: Finding(name, "ok", "1, imports"))
    [memory] = [finding for finding in checks(tmp_path) if finding.name == "memory"]
    assert memory == Finding("memory", "warn", "could not be checked: RuntimeError: no such thing")


OK = Finding("Python", "ok", "CPython 3.11.7")
WARN = Finding("cores", "warn", "1 [core]", "add one")
FAIL = Finding("disk", "fail", "0.5 GiB free", "free some space")


@pytest.mark.parametrize(
    ("findings", "code", "end"),
    [
        ([OK], 0, "The pipeline can run here."),
        ([OK, WARN], 0, "The pipeline can run here, with 1 warning."),
        ([OK, WARN, FAIL], 1, "The pipeline cannot run here yet: 1 of 3 checks failed."),
    ],
)
def test_what_the_findings_come_to(findings: list[Finding], code: int, end: str) -> None:
    console = Console(file=io.StringIO(), width=80)
    render(console, findings)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines()[-1] == end
    assert exit_code(findings) == code


def test_each_remedy_stands_under_its_finding() -> None:
    console = Console(file=io.StringIO(), width=80)
    render(console, [OK, WARN, FAIL])
    assert isinstance(console.file, io.StringIO)
    assert [line.rstrip() for line in console.file.getvalue().splitlines()][:5] == [
        "ok    Python  CPython 3.11.7",
        "warn  cores   1 [core]",
        "              -> add one",
        "fail  disk    0.5 GiB free",
        "              -> free some space",
    ]


# --- Python and what is installed -----------------------------------------------------------------


OLD = Machine("Linux", "x86_64", (2, 36))
NEW = Machine("Linux", "x86_64", (2, 41))


@pytest.mark.parametrize(
    ("this", "implementation", "version", "remedy"),
    [
        (OLD, "CPython", "3.11.0", ""),
        (OLD, "CPython", "3.12.1", "install CPython 3.11, then `make clean setup`"),
        (OLD, "CPython", "3.1.1", "install CPython 3.11, then `make clean setup`"),
        (OLD, "PyPy", "3.11.2", "install CPython 3.11, then `make clean setup`"),
        (NEW, "CPython", "3.11.0", ""),
        (NEW, "CPython", "3.13.5", ""),
        (NEW, "CPython", "3.14.0", "install CPython 3.13, 3.12, 3.11, then `make clean setup`"),
    ],
)
def test_python(
    monkeypatch: pytest.MonkeyPatch, this: Machine, implementation: str, version: str, remedy: str
) -> None:
    monkeypatch.setattr(machine, "here", lambda: this)
    monkeypatch.setattr(platform, "python_implementation", lambda: implementation)
    monkeypatch.setattr(platform, "python_version", lambda: version)
    found = f"{implementation} {version} ({sys.prefix})"
    assert doctor._python() == Finding("Python", "fail" if remedy else "ok", found, remedy)


def test_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "here", lambda: NEW)
    assert doctor._system() == Finding("system", "ok", "Linux x86_64, glibc 2.41: lock native")
    monkeypatch.setattr(machine, "here", lambda: Machine("Linux", "x86_64", (2, 27)))
    finding = doctor._system()
    assert (finding.level, finding.found) == ("fail", "Linux x86_64, glibc 2.27")
    assert "need glibc 2.28 or newer" in finding.remedy
    assert doctor._packages(doctor._lock()).found == "no lock is for this machine"


def test_packages_as_locked(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        f"# comment\nRich=={metadata.version('rich')} \\\n    --hash=sha256:0\n    # via x==1\n"
        f"typing_extensions=={metadata.version('typing-extensions')} ; python_version > '3' \\\n"
        "    --hash=sha256:1 \\\n    --hash=sha256:2\nappnope==1.0 ; sys_platform == 'none'\n"
    )
    assert doctor._packages(lock) == Finding("packages", "ok", "all 2 as locked")


def test_packages_that_differ_from_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    rich = metadata.version("rich")
    lock.write_text(f"rich==0.1\nno-such-package==1.0\ntyper==0.2\nclick==0.3\nnumpy=={0}\n")
    finding = doctor._packages(lock)
    assert (finding.level, finding.remedy) == ("fail", "run `make clean setup`")
    assert finding.found == (
        f"5 of 5 differ from the lock: rich 0.1 is {rich}, no-such-package 1.0 is missing, "
        f"typer 0.2 is {metadata.version('typer')} and 2 more"
    )


def test_a_lock_that_is_empty_or_missing(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    assert doctor._packages(lock).level == "warn"
    lock.touch()
    assert doctor._packages(lock).found == f"{lock} locks no package"


def test_a_package_at_another_version(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("ml-metadata==0.1\n")
    found = f"{metadata.version('ml-metadata')}, locked is 0.1"
    assert doctor._imports("ml-metadata", lock) == Finding(
        "ml-metadata", "fail", found, "run `make clean setup`"
    )


def test_a_package_that_is_missing() -> None:
    assert doctor._imports("no-such-package", None) == Finding(
        "no-such-package", "fail", "not installed", "run `make setup`"
    )


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (b"import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (b"import os; os.abort()", "exit code -6"),
    ],
)
def test_a_package_that_does_not_import(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    distribution: Callable[..., None],
    code: bytes,
    found: str,
) -> None:
    distribution("broken-native", "1.0", {"broken_native.py": code})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setitem(doctor.BY_LOCK, "broken-native", "broken_native")
    assert doctor._imports("broken-native", None) == Finding(
        "broken-native", "fail", f"1.0, but does not import: {found}", "run `make clean setup`"
    )


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("6.31.1", "ok"),
        ("6.33.6rc1", "ok"),
        ("6.31.0", "fail"),
        ("5.29.5", "fail"),
        ("7.0.0", "fail"),
        ("7", "fail"),
    ],
)
def test_protobuf(distribution: Callable[..., None], version: str, level: str) -> None:
    distribution("protobuf", version)
    finding = doctor._protobuf()
    assert finding.level == level
    if level == "fail":
        assert finding.found == f"{version}, needed is >=6.31.1,<7"


def test_tensorflow_and_the_gpus_it_sees(
    monkeypatch: pytest.MonkeyPatch, program: Callable[[str, str], Path]
) -> None:
    python = program("python", """echo noise; echo '["2.21.0", ["NVIDIA H200"]]'""")
    monkeypatch.setattr(sys, "executable", str(python))
    gpus: list[str] = []
    assert doctor._tensorflow(gpus) == Finding("TensorFlow", "ok", "2.21.0, imports")
    assert doctor._gpu(gpus) == Finding("GPU", "ok", "TensorFlow sees NVIDIA H200")


@pytest.mark.parametrize(
    ("script", "found", "remedy"),
    [
        (
            "echo noise >&2; echo 'ModuleNotFoundError: No module: tensorflow' >&2; exit 1",
            "does not import: ModuleNotFoundError: No module: tensorflow",
            "run `make setup`",
        ),
        (
            "kill -ILL $$",
            "does not import: exit code -4",
            "TensorFlow needs a processor with AVX: use another machine",
        ),
        (
            "exec sleep 60",
            "did not import within 0.3 s",
            "run `make clean setup` (it also byte-compiles)",
        ),
    ],
)
def test_a_tensorflow_that_does_not_import(
    monkeypatch: pytest.MonkeyPatch,
    program: Callable[[str, str], Path],
    script: str,
    found: str,
    remedy: str,
) -> None:
    monkeypatch.setattr(sys, "executable", str(program("python", script)))
    if "sleep" in script:
        monkeypatch.setattr(doctor, "IMPORT_TIMEOUT_S", 0.3)
    assert doctor._tensorflow([]) == Finding("TensorFlow", "fail", found, remedy)


# --- The machine ----------------------------------------------------------------------------------


def test_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._gpu([]) == Finding("GPU", "ok", "none: models train on the processor")


@pytest.mark.parametrize(
    ("script", "cuda", "visible", "found", "remedy"),
    [
        (
            "echo 'NVIDIA H200, 570.86.15'",
            False,
            None,
            "NVIDIA H200 (driver 570.86.15), but TensorFlow does not see it: "
            "the CUDA libraries are not installed",
            "run `make setup-gpu`",
        ),
        (
            "echo 'Tesla K80, 470.57.02'",
            True,
            None,
            "Tesla K80 (driver 470.57.02), but TensorFlow does not see it: "
            "the driver and the CUDA libraries do not fit",
            "CUDA 12 needs the driver 525.60.13 or newer",
        ),
        (
            "echo 'NVIDIA H200, 570.86.15'",
            True,
            "",
            "NVIDIA H200 (driver 570.86.15), but TensorFlow does not see it: "
            "CUDA_VISIBLE_DEVICES hides it",
            "unset CUDA_VISIBLE_DEVICES",
        ),
        (
            "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18",
            True,
            None,
            "nvidia-smi fails: Failed to initialize NVML: Driver/library version mismatch",
            "mend the NVIDIA driver, or train on the processor",
        ),
    ],
)
def test_a_gpu_that_tensorflow_does_not_see(
    monkeypatch: pytest.MonkeyPatch,
    program: Callable[[str, str], Path],
    distribution: Callable[..., None],
    script: str,
    cuda: bool,
    visible: str | None,
    found: str,
    remedy: str,
) -> None:
    program("nvidia-smi", script)
    if cuda:
        distribution("nvidia-cudnn-cu12", "9.28.0.42")
    else:

        def version(name: str) -> str:
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(metadata, "version", version)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert doctor._gpu([]) == Finding("GPU", "warn", found, remedy)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (
            """echo 'openjdk version "17.0.15"' >&2; echo more >&2""",
            'openjdk version "17.0.15" (for the Flink and Spark runners)',
        ),
        ("exit 1", "java does not run: only the Flink and Spark runners need it"),
    ],
)
def test_java(program: Callable[[str, str], Path], script: str, found: str) -> None:
    program("java", script)
    finding = doctor._java()
    assert finding.level == "ok"
    assert finding.found.endswith(found)


def test_java_is_optional(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._java() == Finding("Java", "ok", "none: only the Flink and Spark runners need it")


@pytest.mark.parametrize(("cores", "level"), [(1, "warn"), (2, "ok"), (64, "ok")])
def test_cores(monkeypatch: pytest.MonkeyPatch, cores: int, level: str) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    assert doctor._cores().level == level


MemoryInfo = namedtuple("MemoryInfo", "available")
GIB = 2**30


@pytest.mark.parametrize(
    ("gib", "level"), [(16, "ok"), (4, "ok"), (3.9, "warn"), (2, "warn"), (1.9, "fail")]
)
def test_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gib: float, level: str) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: MemoryInfo(int(gib * GIB)))
    monkeypatch.setattr(memory, "_OWN_CGROUP", tmp_path / "missing")
    finding = doctor._memory()
    assert (finding.level, finding.found) == (level, f"{gib:.1f} GiB available")
    assert bool(finding.remedy) == (level != "ok")


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {"memory.max": 3 * GIB, "memory.current": GIB}, "2.0 GiB"),
        (
            "0::/a/b",
            {
                "a/b/memory.max": "max",
                "a/b/memory.current": GIB,
                "a/memory.max": 4 * GIB,
                "a/memory.current": 2 * GIB,
                "a/memory.stat": f"anon 5\ninactive_file {GIB}\n",
            },
            "3.0 GiB",
        ),
        (
            "11:cpu,cpuacct:/x\n4:memory:/docker/123",
            {"memory/memory.limit_in_bytes": 2 * GIB, "memory/memory.usage_in_bytes": GIB},
            "1.0 GiB",
        ),
        ("0::/gone", {"memory.max": GIB, "memory.current": 2 * GIB}, "0.0 GiB"),
    ],
)
def test_memory_within_a_container(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    own: str,
    files: dict[str, int | str],
    expected: str,
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: MemoryInfo(16 * GIB))
    (tmp_path / "own").write_text(own)
    for name, content in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    monkeypatch.setattr(memory, "_OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    assert doctor._memory().found == f"{expected} available within this container's limit"


def test_no_memory_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    monkeypatch.setattr(memory, "_OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: MemoryInfo(16 * GIB))
    assert doctor._memory() == Finding("memory", "ok", "16.0 GiB available")


DiskUsage = namedtuple("DiskUsage", "free")


@pytest.mark.parametrize(
    ("gib", "level"), [(5, "ok"), (4.9, "warn"), (2, "warn"), (1.9, "fail"), (0, "fail")]
)
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gib: float, level: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: DiskUsage(int(gib * GIB)))
    finding = doctor._disk(tmp_path / "not" / "yet")
    assert (finding.level, finding.found) == (level, f"{gib:.1f} GiB free at {tmp_path}")


@pytest.mark.parametrize("can_be_written", [True, False])
def test_the_users_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, can_be_written: bool
) -> None:
    home = tmp_path if can_be_written else tmp_path / "none"
    monkeypatch.setenv("HOME", str(home))
    finding = doctor._user()
    assert finding.level == "ok"
    assert finding.found.startswith(f"number {os.geteuid()}, whose home is {home}")
    assert bool(finding.remedy) == (not can_be_written)


@pytest.mark.parametrize(
    ("tmpdir", "gib", "level"),
    [("", 9, "ok"), (".", 9, "ok"), ("none", 9, "warn"), ("", 0.1, "warn"), ("", 0.01, "fail")],
)
def test_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmpdir: str, gib: float, level: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: DiskUsage(int(gib * GIB)))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path / tmpdir) if tmpdir else "")
    finding = doctor._temporary_files()
    assert (finding.level, bool(finding.remedy)) == (level, level != "ok")
    assert ("cannot be written" in finding.found) == (tmpdir == "none")


def test_no_temporary_files_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert doctor._temporary_files() == Finding(
        "temporary files",
        "fail",
        "cannot be written: No space left on device",
        "name a folder that can: TMPDIR=PATH",
    )


def test_a_workspace_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert doctor._workspace(tmp_path) == Finding("workspace", "ok", f"{tmp_path} can be written")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("file/workspace", "cannot be made: Not a directory"),
        ("x" * 300, "cannot be made: File name too long"),
    ],
)
def test_a_workspace_that_cannot_be_made(tmp_path: Path, place: str, found: str) -> None:
    (tmp_path / "file").touch()
    finding = doctor._workspace(tmp_path / place)
    assert (finding.level, finding.found) == ("fail", f"{tmp_path / place} {found}")
    assert finding.remedy == (
        "use a folder that you own on a local disk: --workspace PATH or SIGNS_WORKSPACE"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_no_command_would_take_for_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = doctor._workspace(tmp_path / "file").found
    assert found == f"the workspace {tmp_path}/file is a file: --workspace takes a folder"


def test_metadata_that_the_next_run_cannot_read(tmp_path: Path) -> None:
    assert doctor._metadata(tmp_path / "new") == Finding("metadata", "ok", "none yet")
    (tmp_path / "metadata.sqlite").write_bytes(b"garbage" * 1000)
    finding = doctor._metadata(tmp_path)
    assert finding.level == "fail"
    assert finding.found.startswith(f"{tmp_path}/metadata.sqlite is damaged (file is not a data")


def test_a_workspace_where_nobody_may_write() -> None:
    finding = doctor._workspace(Path("/proc/signs-workspace"))
    assert finding.level == "fail"
    assert finding.found.startswith("/proc/signs-workspace cannot be made: ")


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (os, "fsync", "written to"),
        (fcntl, "flock", "locked"),
        (Path, "rename", "renamed within"),
        (shutil, "rmtree", "deleted from"),
    ],
)
def test_a_file_system_that_cannot_do_what_runs_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: object, name: str, words: str
) -> None:
    def refuse(*arguments: object, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise OSError(95, "Operation not supported")

    monkeypatch.setattr(target, name, refuse)
    finding = doctor._workspace(tmp_path)
    assert (finding.level, finding.found) == (
        "fail",
        f"{tmp_path} cannot be {words}: Operation not supported",
    )
    if name != "rmtree":
        assert list(tmp_path.iterdir()) == []


def test_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(doctor, "GRPC_PORT", taken.getsockname()[1])
        assert doctor._port() == Finding(
            "port",
            "ok",
            f"{doctor.GRPC_PORT} is taken by another program",
            "give `signs serve` another one: --port",
        )
    assert doctor._port().found == f"{doctor.GRPC_PORT} is free for `signs serve`"


def test_room_for_a_run_of_the_largest_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: (16 * GIB, False))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: DiskUsage(9 * GIB))
    assert doctor._room(tmp_path) == Finding("room", "ok", "no data set yet to make room for")
    write_span(tmp_path / "data" / "signs", 1, 1)
    finding = doctor._room(tmp_path)
    assert finding.level == "ok"
    assert finding.found.startswith("a run of signs (12 images) takes about ")
    assert finding.found.endswith(" of memory and 2.0 GiB of the disk")
    monkeypatch.setattr(memory, "available", lambda: (GIB, False))
    finding = doctor._room(tmp_path)
    assert finding.level == "warn"
    assert "and 1.0 GiB are free: should it run out, take fewer images" in finding.remedy
    monkeypatch.setattr(shutil, "disk_usage", lambda place: DiskUsage(GIB))
    assert doctor._room(tmp_path).level == "fail"


def test_spans_are_held_against_their_checksums(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert doctor._spans(tmp_path) == Finding("spans", "ok", "none yet")
    (tmp_path / "data" / ".downloads").mkdir(parents=True)
    base = tmp_path / "data" / "signs"
    for number in (9, 10):
        write_span(base, number, 1)
    assert doctor._spans(tmp_path) == Finding("spans", "ok", "1 whole")
    write_span(tmp_path / "also_test" / "shop", 1, 1)
    assert doctor._spans(tmp_path) == Finding("spans", "ok", "2 whole")
    shard = base / "span-10" / "v-1" / "train" / "records.gz"
    content = bytearray(shard.read_bytes())
    content[90] ^= 1
    shard.write_bytes(content)
    finding = doctor._spans(tmp_path)
    assert finding.level == "warn"
    assert finding.found.startswith(f"{shard} differs from its checksum. Ingest the same source")
    monkeypatch.setattr(doctor, "SPAN_GIB", 0)
    assert doctor._spans(tmp_path).found == (
        "0 whole, 2 of more than 0 GiB not read: `signs ingest` reads them"
    )


def test_findings_are_plain_data() -> None:
    assert json.loads(json.dumps(vars(FAIL))) == {
        "name": "disk",
        "level": "fail",
        "found": "0.5 GiB free",
        "remedy": "free some space",
    }


FINDINGS = [Finding("Python", "ok", "3.11"), Finding("disk", "fail", "full", "free some")]


def test_doctor(
    signs: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def checks(workspace: Path) -> list[Finding]:
        asked.append(workspace)
        return FINDINGS

    monkeypatch.setattr(doctor, "checks", checks)
    code, out, err = signs("doctor", "--workspace", "there")
    assert (code, err, asked) == (1, "", [Path("there")])
    assert "cannot run here yet: 1 of 2 checks failed." in out
    monkeypatch.setenv("SIGNS_WORKSPACE", "elsewhere")
    code, out, _ = signs("doctor", "--json")
    assert code == 1
    assert json.loads(out) == [vars(finding) for finding in FINDINGS]
    assert asked[1] == Path("elsewhere")
