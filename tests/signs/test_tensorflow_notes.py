"""TensorFlow's notes are left out of the standard error; all else arrives, also of who dies."""

import signal
import subprocess
import sys

import pytest

from tests import ROOT

_NOTES = """
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795718817.645765     338 port.cc:153] oneDNN custom operations are on.
To enable the following instructions: AVX2, rebuild TensorFlow.
E0000 00:00:1795718822.905059 338 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)
"""
_ERRORS = "E0000 00:00:1 2 x.cc:3] not good\nF0000 00:00:1 2 x.cc:4] AVX is missing\n"


def written(end: str, device: str = "/nowhere") -> subprocess.CompletedProcess[str]:
    """What a process writes that has notes and errors in the block, and then does `end`."""
    code = f"""
import os, sys
from signs import tensorflow_notes
tensorflow_notes._GPU_DEVICES = ({device!r},)
print("before", file=sys.stderr)
with tensorflow_notes.without_tensorflow_notes():
    os.write(2, {(_NOTES + _ERRORS).encode()!r})
    {end}
print("I0000 after", file=sys.stderr)
"""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_notes_are_left_out_and_errors_are_not() -> None:
    assert written("pass").stderr == f"before\n\n{_ERRORS}I0000 after\n"


def test_a_process_that_dies_has_told_why() -> None:
    died = written("os.abort()")
    assert (died.returncode, died.stderr) == (-signal.SIGABRT, f"before\n\n{_ERRORS}")


def test_an_exception_passes() -> None:
    assert written("raise ValueError(7)").stderr.endswith("ValueError: 7\n")


def test_with_a_gpu_a_driver_that_fails_is_told() -> None:
    assert "failed call to cuInit" in written("pass", device="/dev/null").stderr


@pytest.mark.parametrize("path", ["/nonexistent"])
def test_without_grep_nothing_is_left_out(path: str) -> None:
    code = (
        "import os; from signs.tensorflow_notes import without_tensorflow_notes\n"
        "with without_tensorflow_notes(): os.write(2, b'I0000 note')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PATH": path}, capture_output=True, check=True
    )
    assert done.stderr == b"I0000 note"
