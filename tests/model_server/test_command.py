"""The process around the server: signals, and what is told before TensorFlow is imported."""

import os
import signal
import subprocess
import sys
import threading

from model_server.command import _stop_on_signals


def test_the_first_signal_stops_and_the_second_ends():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in before:
            stop = threading.Event()
            _stop_on_signals(stop)
            assert not stop.is_set()
            os.kill(os.getpid(), number)
            assert stop.wait(5)
            assert [signal.getsignal(each) for each in before] == [signal.SIG_DFL, signal.SIG_DFL]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_server_that_cannot_start_says_why_and_logs_what_has_no_effect():
    done = subprocess.run(
        [
            *(sys.executable, "-m", "model_server"),
            *("--model_config_file=/nonexistent", "--num_load_threads=2", "--log_format=json"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 255
    assert done.stdout == (
        "Failed to start server. Error: NOT_FOUND: /nonexistent; No such file or directory\n"
    )
    (line,) = done.stderr.splitlines()
    assert '"--num_load_threads has no effect: every model loads in a thread of its own"' in line
