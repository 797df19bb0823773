"""`signs-model-server`: reads the flags, starts the server, and ends it at a signal.

    signs-model-server --model_name=signs --model_base_path=/path/to/serving/signs --port=8500

It logs to standard error, and prints to standard output why it could not start. SIGTERM, SIGINT
and SIGHUP (unless it is ignored, as under nohup) let the requests in flight finish; a second signal
ends the process at once.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from types import FrameType

from model_server.descriptors import raise_limit
from model_server.flags import UsageError, parse, usage
from model_server.logs import start_logging
from model_server.options import FLAGS, ServerOptions, StartError
from signs.process import end_with_parent

log = logging.getLogger(__name__)

_PROGRAM = "signs-model-server"
# TF Serving's main returns -1.
_FAILED = 255


def main(
    argv: Sequence[str] | None = None, on_ready: Callable[[Mapping[str, int]], None] | None = None
) -> int:
    """Serves until a signal.

    Args:
        argv: the flags, without the program's name; None reads them from the process.
        on_ready: called when the ports are open, with the newest version of each model that
            answers.

    Returns:
        The exit code: 0 after a signal, 255 if the server could not start.
    """
    try:
        options, unknown = parse(sys.argv[1:] if argv is None else argv)
    except UsageError:
        print(usage(_PROGRAM), end="")
        return _FAILED
    if options.version:
        print(f"TensorFlow ModelServer: {version('signs-pipeline')}")
        print(f"TensorFlow Library: {version('tensorflow')}")
        return 0
    if unknown:
        print(f"unknown argument: {unknown[0]}\n{usage(_PROGRAM)}", end="", flush=True)
    start_logging(options.log_format)
    raise_limit()
    try:
        options.check()
    except StartError as error:
        return _fail(error)
    for flag in FLAGS:
        if flag.ignored and getattr(options, flag.name) != flag.default:
            log.warning("--%s has no effect: %s", flag.name, flag.ignored)
    # TensorFlow's notes are not the user's business; its errors are.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow's allocator for oneDNN keeps what models that are unloaded had; the system's does
    # not, and ResNet50 is as quick with it.
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "true")
    return _serve(options, on_ready)


def _serve(options: ServerOptions, on_ready: Callable[[Mapping[str, int]], None] | None) -> int:
    from model_server.server import ModelServer

    stop = threading.Event()
    _stop_on_signals(stop)
    if options.exit_with_parent:
        end_with_parent(stop.set)
    server = ModelServer(options, stop)
    code = 0
    try:
        server.start()
    except StartError as error:
        code = _fail(error)
    else:
        if on_ready is not None and not stop.is_set():
            on_ready(server.newest_versions())
        stop.wait()
    if not server.stop():
        # A thread that will not end would keep the interpreter from exiting.
        log.warning("Something did not finish in %g s", options.drain_seconds)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 1)
    return code


def _fail(error: StartError) -> int:
    print(f"Failed to start server. Error: {error}", flush=True)
    return _FAILED


def _stop_on_signals(stop: threading.Event) -> None:
    heard = [
        number
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()
        for each in heard:
            signal.signal(each, signal.SIG_DFL)

    if threading.current_thread() is threading.main_thread():
        for number in heard:
            signal.signal(number, on_signal)
