"""`signs-model-server`: the model server's process.

    signs-model-server --model_name=signs --model_base_path=/path/to/serving/signs --port=8500

It prints one line when it serves, and logs to standard error. SIGTERM and SIGINT let the requests
in flight finish; a second signal ends the process at once.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from serving.server.flags import StartError, parse

# TF Serving's main returns -1.
_FAILED = 255


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until a signal.

    Args:
        argv: the flags, without the program's name; None reads them from the process.

    Returns:
        The exit code: 0 after a signal, 255 if the server could not start.
    """
    try:
        options = parse(argv)
    except StartError as error:
        return _fail(error)
    if options.version:
        from importlib.metadata import version

        print(f"signs-model-server {version('signs-pipeline')}, TensorFlow {version('tensorflow')}")
        return 0
    # TensorFlow's notes on the CPU it found are not the user's business; its errors are.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(message)s")
    logging.getLogger("absl").setLevel(logging.ERROR)
    stop = threading.Event()
    _stop_on_signals(stop)
    if options.exit_with_parent:
        threading.Thread(target=_stop_on_eof, args=[stop], daemon=True).start()

    from serving.server.model_server import ModelServer

    server = ModelServer(options)
    try:
        version_served = server.start(stop)
    except StartError as error:
        code = _fail(error)
    else:
        code = 0
        if version_served is not None:
            print(
                f"Running gRPC ModelServer at {server.address} ... "
                f"(model {options.model_name}, version {version_served})",
                flush=True,
            )
            stop.wait()
    if not server.stop():
        # A thread that will not end would keep the interpreter from exiting.
        logging.warning("Some requests did not finish in %g s", options.drain_seconds)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 1)
    return code


def _fail(error: StartError) -> int:
    print(f"Failed to start server. Error: {error}", flush=True)
    return _FAILED


def _stop_on_signals(stop: threading.Event) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)


def _stop_on_eof(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
