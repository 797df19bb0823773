"""Which lock and which Python fit a machine: the one rule of `make setup` and of `signs doctor`.

    this machine -> lock_for -> pythons_for -> a Python found here, or one line that says what to do

Set-up runs this file with whatever Python it finds first: the standard library alone, and the
syntax of Python 3.6.
"""

import os
import platform
from typing import NamedTuple, Tuple

NATIVE = "native"  # TFX with what it asks for itself
OLD_GLIBC = "old-glibc"  # two packages are older ones: their newer wheels need glibc 2.39
GLIBC = (2, 28)  # what the wheels of the old lock are built for
NATIVE_GLIBC = (2, 39)  # what the wheels of the native lock are built for

Version = Tuple[int, ...]


class UnsupportedMachineError(Exception):
    """The pipeline cannot run on this machine; the text says why, and where it can."""


class Machine(NamedTuple):
    """What decides the lock.

    Args:
        system: as `uname -s` tells it.
        processor: as `uname -m` tells it.
        glibc: its version; empty where the C library is another.
    """

    system: str
    processor: str
    glibc: Version = ()

    def __str__(self) -> str:
        if self.system != "Linux":
            return f"{self.system} {self.processor}"
        library = f"glibc {dotted(self.glibc)}" if self.glibc else "no glibc"
        return f"{self.system} {self.processor}, {library}"


def here() -> Machine:
    """The machine that this runs on."""
    glibc: Version = ()
    if platform.system() == "Linux":
        try:
            name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
            glibc = tuple(int(number) for number in version.split(".")) if name == "glibc" else ()
        except (ValueError, OSError):  # musl knows no such name
            pass
    return Machine(platform.system(), platform.machine(), glibc)


def lock_for(machine: Machine) -> str:
    """The lock whose packages run on a machine.

    Raises:
        UnsupportedMachineError: none does.
    """
    system, processor, glibc = machine
    if (system, processor) == ("Darwin", "arm64"):
        return NATIVE
    if (system, processor) == ("Linux", "x86_64") and glibc >= GLIBC:
        return NATIVE if glibc >= NATIVE_GLIBC else OLD_GLIBC
    raise UnsupportedMachineError(f"{_reason(system, processor, glibc)} (this is {machine})")


def _reason(system: str, processor: str, glibc: Version) -> str:
    if system == "Darwin":
        return (
            "TensorFlow has no packages for Intel Macs; on Apple silicon take a Python for arm64, "
            "as Homebrew's, not one that runs under Rosetta"
        )
    if system != "Linux":
        return "TFX has no packages for this system: use Linux (on Windows in WSL 2) or a Mac"
    if processor != "x86_64":
        return (
            "TFX's native libraries for Linux are built for x86-64 alone: use such a machine, "
            "or a Mac with Apple silicon"
        )
    if not glibc:
        return (
            "TFX's native libraries need glibc, which Alpine and others with musl lack: use Debian,"
            " Ubuntu, Fedora or RHEL"
        )
    return (
        f"the locked packages need glibc {dotted(GLIBC)} or newer, as in Debian 10, Ubuntu 20.04 "
        "and RHEL 8"
    )


def pythons_for(lock: str) -> Tuple[Version, ...]:
    """The versions of CPython that a lock is for, the newest first."""
    return ((3, 13), (3, 12), (3, 11)) if lock == NATIVE else ((3, 11),)


def dotted(version: Version) -> str:
    """`3.13` of (3, 13)."""
    return ".".join(str(number) for number in version)
