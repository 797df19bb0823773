"""`make setup`: `.venv`, with the lock and the newest Python that fit this machine.

    lock for this machine -> a Python for the lock -> .venv -> uv -> the lock -> our own packages

What is downloaded is compared with the hashes in the lock. Run with the Python that make finds: the
standard library alone, and the syntax of Python 3.6.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from pipeline.machine import (
    OLD_GLIBC,
    UnsupportedMachineError,
    Version,
    dotted,
    here,
    lock_for,
    pythons_for,
)

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / ".ready"  # what a finished set-up installed
START = "00_signs.pth"  # Python runs it first of all in site-packages
_COMPILERS = ("c++", "g++", "clang++")
_ASK = """
import json, os, platform, sys, sysconfig
lacks = []
try:
    import ensurepip, venv
except ImportError:
    lacks.append("venv")
if not os.path.exists(os.path.join(sysconfig.get_config_var("INCLUDEPY") or "", "Python.h")):
    lacks.append("headers")
print(json.dumps([platform.python_implementation(), sys.version_info[:2], lacks]))
"""


class SetupError(Exception):
    """It cannot be set up here; the text says what to install."""


class Python(NamedTuple):
    """A Python that was found.

    Args:
        path: the program.
        implementation: `CPython`, or another.
        version: its major and minor numbers.
        lacks: what it needs and has not: `venv`, `headers`.
    """

    path: str
    implementation: str
    version: Version
    lacks: Tuple[str, ...] = ()

    def __str__(self) -> str:
        without = f", without {' and '.join(self.lacks)}" if self.lacks else ""
        return f"{self.implementation} {dotted(self.version)} ({self.path}{without})"

    def fits(self, lock: str) -> bool:
        """Whether a lock can be installed for it."""
        return self.implementation == "CPython" and self.version in pythons_for(lock)


def main(arguments: Sequence[str]) -> int:
    """Sets everything up, unless that was done.

    Args:
        arguments: the Python to take, as a path or a name on the PATH; or none.
    """
    try:
        lock = lock_for(here())
        wanted = asked(arguments[0], lock) if arguments else None
        if is_ready(lock, wanted):
            return 0
        install(lock, environment(lock, wanted))
    except (UnsupportedMachineError, SetupError) as err:
        print(f"Cannot be set up here: {err}.", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as err:  # it has said what is wrong
        print(f"Set-up stopped: {' '.join(map(str, err.cmd[:4]))} ... failed.", file=sys.stderr)
        return 1
    return 0


# --- Which Python ---------------------------------------------------------------------------------


def ask(path: str) -> Optional[Python]:
    """What a Python says of itself; None where it does not run."""
    try:
        answer = subprocess.check_output(
            [path, "-I", "-c", _ASK], stderr=subprocess.DEVNULL, timeout=60
        )
        implementation, version, lacks = json.loads(answer.decode())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Python(path, implementation, tuple(version), tuple(lacks))


def asked(path: str, lock: str) -> Python:
    """The Python that the user names.

    Raises:
        SetupError: it does not run, or the lock is for others.
    """
    python = ask(shutil.which(path) or path)
    if python is None:
        raise SetupError(f"PYTHON={path} does not run as a Python")
    if not python.fits(lock) or python.lacks:
        raise SetupError(f"PYTHON={path} is {python}: {_needed(lock)}")
    return python


def found(lock: str) -> List[Python]:
    """All Pythons on the PATH by their usual names, without those of `.venv`."""
    names = [f"python{dotted(version)}" for version in pythons_for(lock)]
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = [
        str(Path(place) / name)
        for name in [*names, "python3", "python"]
        for place in places
        if place and Path(place).absolute() != VENV / "bin"
    ]
    answers = [ask(path) for path in paths if os.access(path, os.X_OK)]
    return [python for python in answers if python]


def choose(
    lock: str, pythons: Sequence[Python], has_compiler: bool, release: Dict[str, str]
) -> Python:
    """The newest Python that fits; of two alike the first.

    Args:
        lock: what is to be installed.
        pythons: those that were found, in the order of the PATH.
        has_compiler: whether there is a C++ compiler.
        release: the fields of /etc/os-release; empty on a Mac.

    Raises:
        SetupError: none fits, or there is no compiler.
    """
    fitting = sorted((p for p in pythons if p.fits(lock)), key=lambda p: p.version, reverse=True)
    whole = [python for python in fitting if not python.lacks]
    if whole and has_compiler:
        return whole[0]
    problems = []
    if not whole:
        best = str((fitting or list(pythons))[0]) if pythons else "none"
        problems.append(f"{_needed(lock)}; found: {best}")
    if not has_compiler:
        problems.append("a C++ compiler is needed, for one small package")
    raise SetupError(f"{'; '.join(problems)}. {remedy(lock, release)}")


def _needed(lock: str) -> str:
    versions = [dotted(version) for version in pythons_for(lock)]
    either = f"{', '.join(versions[:-1])} or {versions[-1]}" if versions[1:] else versions[0]
    return f"CPython {either} is needed, with venv and its headers"


def remedy(lock: str, release: Dict[str, str]) -> str:
    """What to type to get a Python that fits, and a compiler."""
    family = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    major = release.get("VERSION_ID", "").partition(".")[0]
    if not release:
        return "Type: brew install python@3.13, and xcode-select --install"
    if (family[0], major) in [("debian", "12"), ("debian", "13"), ("ubuntu", "24")]:
        return "Type: sudo apt-get install python3 python3-venv python3-dev g++"
    if (family[0], major) == ("ubuntu", "22"):
        return "Type: sudo apt-get install python3.11 python3.11-venv python3.11-dev g++"
    if family[0] == "fedora":
        return "Type: sudo dnf install python3.13 python3.13-devel gcc-c++"
    if "rhel" in family or "centos" in family:
        version = "3.12" if major == "10" else "3.11"
        return f"Type: sudo dnf install python{version} python{version}-devel gcc-c++"
    version = dotted(pythons_for(lock)[0])
    return (
        f"Install a C++ compiler, and CPython {version} as uv or pyenv do (uv python install "
        f"{version}), then name it: make PYTHON=/path/to/python{version}"
    )


def _release() -> Dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name: value.strip("\"'") for name, _, value in pairs}


# --- The environment ------------------------------------------------------------------------------


def is_ready(lock: str, wanted: Optional[Python]) -> bool:
    """Whether `.venv` is what a set-up would make now."""
    done = _stamp()
    return (
        (VENV / "bin" / "python").exists()
        and (done.get("lock"), done.get("files")) == (lock, _digest(lock))
        and (wanted is None or done.get("python") == dotted(wanted.version))
    )


def environment(lock: str, wanted: Optional[Python]) -> Python:
    """The Python of `.venv`, which is made, or made anew where it is for another lock or Python."""
    own = VENV / "bin" / "python"
    there = ask(str(own))
    installed = _stamp().get("lock", lock)
    taken = wanted is None or (there is not None and wanted.version == there.version)
    if there and there.fits(lock) and installed == lock and taken:
        return there
    has_compiler = any(map(shutil.which, (os.environ.get("CXX", ""), *_COMPILERS)))
    python = wanted or choose(lock, found(lock), has_compiler, _release())
    print(f"Setting up .venv: {python}, lock {lock}.", flush=True)
    if VENV.exists():
        before = f"lock {installed}, {there or 'a Python that is gone'}"
        print(f"The .venv that was there is for another ({before}) and is made anew.", flush=True)
        shutil.rmtree(str(VENV))
    _run(python.path, "-m", "venv", VENV)
    return python._replace(path=str(own))


def install(lock: str, python: Python) -> None:
    """Installs uv, the lock and our own packages into `.venv`.

    The lock is installed as it stands (no resolving) and byte-compiled: `import tfx` takes three
    times as long where .pyc files are missing and cannot be written.

    Raises:
        subprocess.CalledProcessError: an installer failed, on a hash that differs for example.
    """
    if STAMP.exists():
        STAMP.unlink()
    locked = ROOT / "requirements" / f"{lock}.txt"
    _run(
        python.path, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--require-hashes", "--requirement", ROOT / "requirements" / "uv.txt",
    )  # fmt: skip
    uv = (VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", python.path, "--no-deps")
    # The build constraints pin what builds the few packages that come as sources.
    _run(
        *uv, "--require-hashes", "--build-constraints", locked, "--compile-bytecode",
        "--requirement", locked,
    )  # fmt: skip
    _run(*uv, "--no-build-isolation", "--editable", ROOT / "signs", "--editable", ROOT)
    (packages,) = VENV.glob("lib/python*/site-packages")
    shutil.copy(str(ROOT / "requirements" / START), str(packages))
    if lock == OLD_GLIBC:
        shutil.copy(str(ROOT / "requirements" / "sql_util.py"), str(packages / "tfx_bsl" / "arrow"))
    done = {"lock": lock, "python": dotted(python.version), "files": _digest(lock)}
    STAMP.write_text(json.dumps(done))


def _stamp() -> Dict[str, str]:
    try:
        done = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return done if isinstance(done, dict) else {}


def _digest(lock: str) -> str:
    """Of all files that decide what is installed."""
    names = [f"requirements/{name}" for name in (f"{lock}.txt", "uv.txt", START, "sql_util.py")]
    contents = [(ROOT / name).read_bytes() for name in [*names, "setup.py", "signs/pyproject.toml"]]
    return hashlib.sha256(b"".join(contents)).hexdigest()


def _run(*command: object) -> None:
    subprocess.check_call([str(part) for part in command], cwd=str(ROOT))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
