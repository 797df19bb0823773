"""Set-up: which Python it takes, what it says where there is none, and when it does nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import machine
from pipeline.machine import NATIVE, OLD_GLIBC, Machine
from requirements import install
from requirements.install import Python, SetupError
from tests import ROOT

P313 = Python("/usr/bin/python3.13", "CPython", (3, 13))
P312 = Python("/usr/bin/python3.12", "CPython", (3, 12))
P311 = Python("/opt/python3.11", "CPython", (3, 11))
P39 = Python("/usr/bin/python3", "CPython", (3, 9))
P314 = Python("/usr/bin/python3", "CPython", (3, 14))
PYPY = Python("/usr/bin/pypy", "PyPy", (3, 11))
BARE = Python("/usr/bin/python3", "CPython", (3, 13), ("venv", "headers"))
DEBIAN = {"ID": "debian", "VERSION_ID": "13"}


@pytest.mark.parametrize(
    ("lock", "found", "taken"),
    [
        (NATIVE, [P311, P313, P312], P313),
        (NATIVE, [P314, P312, P39], P312),
        (NATIVE, [BARE, P311], P311),  # the newest that is whole
        (NATIVE, [PYPY, P311], P311),
        (OLD_GLIBC, [P313, P312, P311], P311),
        (OLD_GLIBC, [P311, P311._replace(path="/usr/bin/python3.11")], P311),  # as on the PATH
    ],
)
def test_the_newest_that_fits_is_taken(lock: str, found: list[Python], taken: Python) -> None:
    assert install.choose(lock, found, True, DEBIAN) == taken


@pytest.mark.parametrize(
    ("lock", "found", "has_compiler", "problem"),
    [
        (
            NATIVE, [P314], True,
            "CPython 3.13, 3.12 or 3.11 is needed, with venv and its headers; "
            "found: CPython 3.14 (/usr/bin/python3). ",
        ),
        (
            NATIVE, [P39, BARE], True,
            "CPython 3.13, 3.12 or 3.11 is needed, with venv and its headers; "
            "found: CPython 3.13 (/usr/bin/python3, without venv and headers). ",
        ),
        (OLD_GLIBC, [], True, "CPython 3.11 is needed, with venv and its headers; found: none. "),
        (NATIVE, [P313], False, "a C++ compiler is needed, for one small package. "),
        (
            OLD_GLIBC, [P313], False,
            "CPython 3.11 is needed, with venv and its headers; found: CPython 3.13 "
            "(/usr/bin/python3.13); a C++ compiler is needed, for one small package. ",
        ),
    ],
)  # fmt: skip
def test_one_line_says_what_is_missing(
    lock: str, found: list[Python], has_compiler: bool, problem: str
) -> None:
    with pytest.raises(SetupError) as caught:
        install.choose(lock, found, has_compiler, DEBIAN)
    assert str(caught.value) == problem + install.remedy(lock, DEBIAN)


APT = "Type: sudo apt-get install "


@pytest.mark.parametrize(
    ("lock", "release", "text"),
    [
        (NATIVE, DEBIAN, f"{APT}python3 python3-venv python3-dev g++"),
        (OLD_GLIBC, {"ID": "debian", "VERSION_ID": "12"}, f"{APT}python3 python3-venv"),
        (NATIVE, {"ID": "ubuntu", "VERSION_ID": "24.04"}, f"{APT}python3 python3-venv"),
        (OLD_GLIBC, {"ID": "ubuntu", "VERSION_ID": "22.04"}, f"{APT}python3.11 python3.11-venv"),
        (NATIVE, {"ID": "fedora", "VERSION_ID": "42"}, "Type: sudo dnf install python3.13 "),
        (
            OLD_GLIBC, {"ID": "rocky", "ID_LIKE": "rhel centos fedora", "VERSION_ID": "9.4"},
            "Type: sudo dnf install python3.11 python3.11-devel gcc-c++",
        ),
        (NATIVE, {"ID": "rhel", "VERSION_ID": "10.1"}, "Type: sudo dnf install python3.12 "),
        (NATIVE, {}, "Type: brew install python@3.13"),
        # Others have no package of a Python that fits, or call it by names that are not known here.
        (OLD_GLIBC, {"ID": "debian", "VERSION_ID": "11"}, "uv python install 3.11"),
        (NATIVE, {"ID": "debian"}, "uv python install 3.13"),  # testing has no number
        (NATIVE, {"ID": "arch"}, "make PYTHON=/path/to/python3.13"),
    ],
)  # fmt: skip
def test_what_to_type(lock: str, release: dict[str, str], text: str) -> None:
    assert text in install.remedy(lock, release)


# --- Real Pythons and stand-ins on the PATH -------------------------------------------------------


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def answer(version: str) -> str:
    return f"echo '[\"CPython\", [{version.replace('.', ', ')}], []]'"


def pretend(path: Path, version: str) -> Path:
    """A Python that says that it has another version."""
    return program(path, answer(version))


def test_what_a_python_says_of_itself(tmp_path: Path) -> None:
    told = install.ask(sys.executable)
    assert told == Python(sys.executable, "CPython", sys.version_info[:2])
    assert install.ask(str(program(tmp_path / "shim", "echo not found >&2; exit 127"))) is None
    assert install.ask(str(program(tmp_path / "odd", "echo hello"))) is None
    assert install.ask(str(tmp_path / "none")) is None


def test_all_on_the_path_are_found_but_those_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    places = [tmp_path / ".venv" / "bin", tmp_path / "shims", tmp_path / "usr"]
    pretend(places[0] / "python3.13", "3.13")
    program(places[1] / "python3.12", "exit 127")  # as a shim of pyenv without such a version
    pretend(places[2] / "python3.12", "3.12")
    pretend(places[2] / "python3", "3.9")
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, places)))
    assert [python.path for python in install.found(NATIVE)] == [
        str(places[2] / "python3.12"), str(places[2] / "python3"),
    ]  # fmt: skip
    assert [python.version for python in install.found(OLD_GLIBC)] == [(3, 9)]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`.venv` of a machine with the native lock, set up with a stand-in for Python 3.12."""
    monkeypatch.setattr(machine, "here", lambda: Machine("Linux", "x86_64", (2, 41)))
    monkeypatch.setattr(install, "here", machine.here)
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(install, "STAMP", tmp_path / ".venv" / ".ready")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    pretend(tmp_path / ".venv" / "bin" / "python", "3.12")
    done = {"lock": NATIVE, "python": "3.12", "files": install._digest(NATIVE)}
    (tmp_path / ".venv" / ".ready").write_text(json.dumps(done))
    # Makes an environment, as `-m venv` does, and says so.
    for name, version in (("python3.12", "3.12"), ("python3.13", "3.13")):
        script = (
            f'[ "$1" = -m ] || {{ {answer(version)}; exit; }}\n'
            f'mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo {version} > "$3/made"'
        )
        program(tmp_path / "bin" / name, script)
    program(tmp_path / "bin" / "c++", "true")
    return tmp_path


def stamp(checkout: Path, **more: str) -> None:
    path = checkout / ".venv" / ".ready"
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))


def test_what_was_done_is_not_done_again(checkout: Path) -> None:
    assert install.is_ready(NATIVE, None)
    assert install.is_ready(NATIVE, P312)
    assert install.main([]) == 0
    assert not (checkout / ".venv" / "made").exists()


@pytest.mark.parametrize(
    ("change", "made"),
    [
        ({}, None),  # nothing: a newer Python beside it changes nothing that works
        ({"files": "other"}, None),  # the lock was changed: installed over what is there
        ({"lock": OLD_GLIBC}, "3.13"),  # the system was upgraded
    ],
)
def test_an_environment_for_another_lock_is_made_anew(
    checkout: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], made: str | None
) -> None:
    stamp(checkout, **change)
    assert install.is_ready(NATIVE, None) == (not change)
    install.environment(NATIVE, None)
    path = checkout / ".venv" / "made"
    assert (path.read_text().strip() if path.exists() else None) == made
    said = capsys.readouterr().out
    assert ("is for another (lock old-glibc, CPython 3.12" in said) == (made is not None)


def test_another_python_is_asked_for(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = install.asked("python3.13", NATIVE)
    assert not install.is_ready(NATIVE, wanted)
    assert install.environment(NATIVE, wanted).version == (3, 13)
    assert "is for another (lock native, CPython 3.12" in capsys.readouterr().out


def test_a_python_that_is_gone(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / ".venv" / "bin" / "python").unlink()
    assert not install.is_ready(NATIVE, None)
    assert install.environment(NATIVE, None).version == (3, 13)
    assert "(lock native, a Python that is gone) and is made anew" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("python3.9", "PYTHON=python3.9 is CPython 3.9 ("),
        ("no-such-python", "PYTHON=no-such-python does not run as a Python"),
    ],
)
def test_a_python_that_cannot_be_taken(
    checkout: Path, capsys: pytest.CaptureFixture[str], asked: str, text: str
) -> None:
    pretend(checkout / "bin" / "python3.9", "3.9")
    assert install.main([asked]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"Cannot be set up here: {text}") and said.count("\n") == 1


def test_a_machine_without_a_lock(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "here", lambda: Machine("Linux", "aarch64", (2, 41)))
    assert install.main([]) == 2
    said = capsys.readouterr().err
    assert "built for x86-64 alone" in said and said.count("\n") == 1


# --- As make calls it -----------------------------------------------------------------------------


def test_make_without_a_python_says_so(tmp_path: Path) -> None:
    for name in ("sh", "env"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    make = subprocess.run(
        ["/usr/bin/make", "setup"],
        cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert make.returncode == 2
    assert make.stderr.startswith("Cannot be set up here: no Python is on the PATH.")


def test_make_finds_this_environment_ready() -> None:
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # of a make that runs this test
    make = subprocess.run(
        ["make", "setup"],
        cwd=ROOT, env={name: value for name, value in os.environ.items() if name not in outer},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (make.returncode, make.stdout, make.stderr) == (0, "", "")


# --- Hashes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_package_that_is_not_the_locked_one_is_refused(tmp_path: Path, installer: str) -> None:
    """The same name and version, other bytes: as from an index that was broken into."""
    (tmp_path / "thing.py").touch()
    (tmp_path / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='thing', version='1.0', py_modules=['thing'])\n"
    )
    subprocess.run(
        [sys.executable, "setup.py", "-q", "bdist_wheel"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    lock = tmp_path / "lock.txt"
    lock.write_text(f"thing==1.0 --hash=sha256:{'0' * 64}\n")
    command = {
        "uv": [Path(sys.executable).with_name("uv"), "pip", "install", "--offline"],
        "pip": [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"],
    }[installer]
    done = subprocess.run(
        [
            *command, "--no-index", "--find-links", tmp_path / "dist", "--no-deps",
            "--require-hashes", "--requirement", lock, "--target", tmp_path / "into",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "hash" in done.stderr.lower()
    assert not (tmp_path / "into" / "thing.py").exists()


@pytest.mark.parametrize("lock", [NATIVE, OLD_GLIBC])
def test_nothing_is_installed_unchecked(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    commands: list[str] = []
    monkeypatch.setattr(install, "_run", lambda *parts: commands.append(" ".join(map(str, parts))))
    (checkout / ".venv" / "lib" / "python3" / "site-packages" / "tfx_bsl" / "arrow").mkdir(
        parents=True
    )
    install.install(lock, P312)
    uv, locked, own = commands
    path = ROOT / "requirements"
    assert uv.endswith(f"--require-hashes --requirement {path / 'uv.txt'}")
    # What builds a package that comes as sources is as locked as the package.
    assert f"--require-hashes --build-constraints {path / f'{lock}.txt'} " in locked
    assert locked.endswith(f"--requirement {path / f'{lock}.txt'}")
    assert "--no-build-isolation --editable" in own
    assert all("--no-deps" in command for command in commands)
    assert install.is_ready(lock, None)
    added = [path.name for path in checkout.rglob("sql_util.py")]
    assert added == (["sql_util.py"] if lock == OLD_GLIBC else [])
    assert next(checkout.rglob("*.pth")).name == "00_signs.pth"  # `sorted` has it first


def test_a_set_up_that_broke_off_is_done_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*command: object) -> None:
        raise subprocess.CalledProcessError(1, command)

    stamp(checkout, files="of an older lock")
    monkeypatch.setattr(install, "_run", broken)
    assert install.main([]) == 1
    assert capsys.readouterr().err.startswith("Set-up stopped: ")
    assert not install.is_ready(NATIVE, None)
