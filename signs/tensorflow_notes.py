"""What TensorFlow tells when it is imported, and of a GPU that is not there, is kept from people.

    with without_tensorflow_notes():
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for a GPU: tells once that the driver is missing

Its C++ writes these notes before it reads its own log level, so no setting reaches them. Errors are
written as ever, also those of a process that dies on the way: `grep` has them by then.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_NOTES = "^I[0-9]{4} |^WARNING: All log messages before absl|^To enable the following instructions:"
_NO_GPU = "failed call to cuInit"  # told as an error, also where no driver was ever installed
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/proc/driver/nvidia")


@contextlib.contextmanager
def without_tensorflow_notes() -> Iterator[None]:
    """Leaves notes out of what this process writes to its standard error within the block."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    notes = _NOTES if _may_have_gpu() else f"{_NOTES}|{_NO_GPU}"
    grep = shutil.which("grep")
    if grep is None:
        yield
        return
    _flush()
    kept = os.dup(2)
    try:
        with subprocess.Popen(
            [grep, "--line-buffered", "-avE", notes],
            stdin=subprocess.PIPE,
            stdout=kept,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us
        ) as filtering:
            assert filtering.stdin is not None
            os.dup2(filtering.stdin.fileno(), 2)
            try:
                yield
            finally:
                _flush()
                os.dup2(kept, 2)  # the last end of the pipe but one: grep ends with the block
    finally:
        os.close(kept)


def _may_have_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None or any(
        Path(device).exists() for device in _GPU_DEVICES
    )


def _flush() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or none at all
        sys.stderr.flush()
