"""A child ends with its parent, also when that is killed; what the child has started, too."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import ROOT

_PARENT = """
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1], *sys.argv[2:]],
    stdin=subprocess.PIPE, start_new_session=True,
)
input()
"""
_LEADER = """
import subprocess, time
from signs import process
grandchild = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
process.end_with_parent()
print(grandchild.pid, flush=True)
time.sleep(60)
"""
_POLITE = """
import threading
from pathlib import Path
from signs import process
stop = threading.Event()
process.end_with_parent(stop.set)
print("ready", flush=True)
stop.wait(60)
print("stopped", flush=True)
"""
_BY_KERNEL = """
import subprocess
from signs import process
child = subprocess.Popen(["sleep", "60"], preexec_fn=process.killed_with_parent)
print(child.pid, flush=True)
input()
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} is alive"
        time.sleep(0.02)


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", *command],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("script", [_LEADER, _POLITE])
def test_the_child_ends_when_its_parent_is_killed(script: str) -> None:
    with start(_PARENT, script) as parent:
        assert parent.stdout
        first = parent.stdout.readline().strip()
        parent.kill()
        # To the end of the output: whoever could write to it is gone then.
        assert parent.stdout.read() == ("" if script is _LEADER else "stopped\n")
    if script is _LEADER:
        wait_until_gone(int(first))


def test_without_the_end_of_its_input_it_goes_on() -> None:
    with start(_POLITE) as child:
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("words mean nothing\n")
        child.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.2)
        child.stdin.close()
        assert child.stdout.readline() == "stopped\n"


def test_the_kernel_kills_the_child() -> None:
    with start(_BY_KERNEL) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
        wait_until_gone(pid)
