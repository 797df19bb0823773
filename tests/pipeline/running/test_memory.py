"""The peak counts this process and its children, also what they have given back."""

import subprocess
import sys
import time

from pipeline.running.memory import PeakMemory

HOLD_200_MIB = "import time; x = b'x' * (200 << 20); print(len(x), flush=True); time.sleep(60)"


def test_a_childs_memory_counts_and_the_peak_stays() -> None:
    with PeakMemory() as before:
        pass
    with (
        PeakMemory() as peak,
        subprocess.Popen([sys.executable, "-c", HOLD_200_MIB], stdout=subprocess.PIPE) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        deadline = time.monotonic() + 30
        while peak.mib < before.mib + 190 and time.monotonic() < deadline:
            time.sleep(0.05)
        child.kill()
    assert before.mib + 190 < peak.mib < before.mib + 400
