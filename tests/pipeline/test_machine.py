"""Which lock a machine takes, or what its owner is told."""

import ast
import subprocess
import sys

import pytest

from pipeline import machine
from pipeline.machine import NATIVE, OLD_GLIBC, Machine, UnsupportedMachineError
from tests import ROOT


@pytest.mark.parametrize(
    ("system", "processor", "glibc", "lock"),
    [
        ("Linux", "x86_64", (2, 28), OLD_GLIBC),  # RHEL 8
        ("Linux", "x86_64", (2, 35), OLD_GLIBC),  # Ubuntu 22.04
        ("Linux", "x86_64", (2, 36), OLD_GLIBC),  # Debian 12
        ("Linux", "x86_64", (2, 38), OLD_GLIBC),
        ("Linux", "x86_64", (2, 39), NATIVE),  # Ubuntu 24.04
        ("Linux", "x86_64", (2, 41), NATIVE),  # Debian 13
        ("Linux", "x86_64", (2, 100), NATIVE),
        ("Linux", "x86_64", (3, 0), NATIVE),
        ("Darwin", "arm64", (), NATIVE),
    ],
)
def test_the_lock_of_a_machine(
    system: str, processor: str, glibc: tuple[int, ...], lock: str
) -> None:
    assert machine.lock_for(Machine(system, processor, glibc)) == lock


@pytest.mark.parametrize(
    ("system", "processor", "glibc", "text"),
    [
        (
            "Linux", "x86_64", (2, 27),
            "the locked packages need glibc 2.28 or newer, as in Debian 10, Ubuntu 20.04 and RHEL 8"
            " (this is Linux x86_64, glibc 2.27)",
        ),
        (
            "Linux", "x86_64", (),
            "TFX's native libraries need glibc, which Alpine and others with musl lack: use Debian,"
            " Ubuntu, Fedora or RHEL (this is Linux x86_64, no glibc)",
        ),
        (
            "Linux", "aarch64", (2, 41),
            "TFX's native libraries for Linux are built for x86-64 alone: use such a machine, or a"
            " Mac with Apple silicon (this is Linux aarch64, glibc 2.41)",
        ),
        (
            "Darwin", "x86_64", (),
            "TensorFlow has no packages for Intel Macs; on Apple silicon take a Python for arm64, "
            "as Homebrew's, not one that runs under Rosetta (this is Darwin x86_64)",
        ),
        (
            "Windows", "AMD64", (),
            "TFX has no packages for this system: use Linux (on Windows in WSL 2) or a Mac"
            " (this is Windows AMD64)",
        ),
    ],
)  # fmt: skip
def test_a_machine_without_a_lock(
    system: str, processor: str, glibc: tuple[int, ...], text: str
) -> None:
    with pytest.raises(UnsupportedMachineError) as caught:
        machine.lock_for(Machine(system, processor, glibc))
    assert str(caught.value) == text


def test_the_pythons_of_a_lock_the_newest_first() -> None:
    assert machine.pythons_for(NATIVE) == ((3, 13), (3, 12), (3, 11))
    assert machine.pythons_for(OLD_GLIBC) == ((3, 11),)


def test_this_machine_is_what_the_system_says() -> None:
    here = machine.here()
    told = subprocess.run(["uname", "-sm"], capture_output=True, text=True, check=True).stdout
    assert f"{here.system} {here.processor}\n" == told
    if here.system == "Linux":
        ldd = subprocess.run(["ldd", "--version"], capture_output=True, text=True, check=True)
        assert machine.dotted(here.glibc) == ldd.stdout.splitlines()[0].split()[-1]


@pytest.mark.parametrize("name", ["pipeline/machine.py", "requirements/install.py"])
def test_an_old_python_can_begin_the_set_up(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text(), feature_version=(3, 6))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported - {"pipeline"} <= sys.stdlib_module_names - {"dataclasses", "__future__"}
