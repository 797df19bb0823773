"""What is free goes back to the system, though it lies between what is not."""

import subprocess
import sys
import textwrap

import pytest

FRAGMENTS = """
    import ctypes, threading, time
    from model_server import memory

    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    BLOCK, COUNT = 100_000, 4_000  # bytes: none is so large that it would be mapped by itself

    def fragments():
        blocks = [libc.malloc(BLOCK) for _ in range(COUNT)]
        for block in blocks:
            ctypes.memset(block, 1, BLOCK)
        for block in blocks[:-1]:  # the last one keeps the rest from the end of the heap
            libc.free(block)

    stopping = threading.Event()
    watcher = threading.Thread(target=memory.watch, args=[stopping, 0.2, {grown}])
    before = memory._resident_bytes()
    watcher.start()
    time.sleep(0.1)
    thread = threading.Thread(target=fragments)  # in a part of the heap of its own
    thread.start()
    thread.join()
    most = memory._resident_bytes() - before
    until = time.monotonic() + 10
    while memory._resident_bytes() - before > most / 2 and time.monotonic() < until:
        time.sleep(0.1)
    stopping.set()
    watcher.join()
    print(most, memory._resident_bytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc's memory")
@pytest.mark.parametrize("grown", [100_000_000, 10_000_000_000])
def test_what_is_free_goes_back_once_it_is_much(grown):
    script = textwrap.dedent(FRAGMENTS).format(grown=grown)
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    most, left = map(int, ran.stdout.split())
    assert most > 300_000_000
    assert (left < 50_000_000) == (grown < most)
