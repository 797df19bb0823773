"""The process around the server: signals, the log. `test_process` runs whole servers."""

import json
import os
import signal
import subprocess
import sys
import threading

from model_server.__main__ import _stop_on_signals


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


def refused(*flags: str) -> subprocess.CompletedProcess[str]:
    """A server that has something to log, and ends before it imports TensorFlow."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "model_server"),
            *("--model_config_file=/nonexistent", "--num_load_threads=2", *flags),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 255
    assert done.stdout == (
        "Failed to start server. Error: NOT_FOUND: /nonexistent; No such file or directory\n"
    )
    return done


def test_the_log_as_text():
    (line,) = refused().stderr.splitlines()
    assert line.endswith(
        " W --num_load_threads has no effect: every model loads in a thread of its own"
    )


def test_the_log_as_json():
    (line,) = refused("--log_format=json").stderr.splitlines()
    event = json.loads(line)
    assert event.pop("time").endswith("+00:00")
    assert event == {
        "level": "WARNING",
        "logger": "__main__",
        "message": "--num_load_threads has no effect: every model loads in a thread of its own",
    }
