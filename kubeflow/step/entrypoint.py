"""Every step's container starts `python -m kubeflow.step.entrypoint`, then TFX's arguments.

KFP's launcher downloads the inputs, starts this, and uploads the outputs if it ends with 0 (see
`execute` in backend/src/v2/component/launcher_v2.go). TFX's own entrypoint, which Google's service
can start, fails here for many reasons: `kubeflow.step` removes them. Exit codes: 0, all is
well; 1, the step failed; 2, it could not be started; 143, somebody ended it.
"""

import argparse
import faulthandler
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import NoReturn

from kubeflow.step import ending
from signs.errors import UserError
from signs.heavy_imports import heavy_imports

_PLACEHOLDER = re.compile(r"\{\{\$.*?\}\}")
_ENDING_S = 20.0  # Kubernetes kills the process ten seconds later


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def main(argv: Sequence[str]) -> int:
    """Runs the step that the arguments describe.

    Args:
        argv: `--executor_class_path`, `--json_serialized_invocation_args` (KFP's ExecutorInput),
            `--json_serialized_inputs_spec_args`; all others are for Beam.

    Returns:
        The exit code.
    """
    try:
        arguments, beam_args = _parse(argv)
        name = _step_name(arguments.json_serialized_invocation_args)
    except UserError as err:
        return _fail(f"kubeflow.step.entrypoint: {err}", 2)
    try:
        # TFX takes seconds to import, and writes pages about it.
        with heavy_imports():
            from kubeflow.step import adapter

        adapter.run(
            arguments.executor_class_path,
            arguments.json_serialized_invocation_args,
            arguments.json_serialized_inputs_spec_args,
            beam_args,
        )
    except UserError as err:
        return _fail(f"{name} failed: {err}", 1)
    except (Exception, SystemExit) as err:
        traceback.print_exc()
        from pipeline.showing.follow import error_line

        # Beam's errors hold a traceback of their own; its end says what happened.
        words = error_line("".join(traceback.format_exception(err))) or repr(err)
        return _fail(f"{name} failed: {words}", 1)
    return 0


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = _Parser(prog="kubeflow.step.entrypoint", add_help=False, allow_abbrev=False)
    for name in (
        "--executor_class_path",
        "--json_serialized_invocation_args",
        "--json_serialized_inputs_spec_args",
    ):
        parser.add_argument(name, required=True)
    arguments, beam_args = parser.parse_known_args(argv)
    for value in argv:
        if left_over := _PLACEHOLDER.search(value):
            raise UserError(
                f"the placeholder {left_over[0]} was not replaced: this command is to be started by"
                " the launcher of Kubeflow Pipelines"
            )
    return arguments, beam_args


def _step_name(executor_input: str) -> str:
    """The task's name, which KFP's driver puts into the outputs' addresses (`provisionOutputs`)."""
    try:
        outputs = json.loads(executor_input)["outputs"]
        (artifact, *_), *_ = (one["artifacts"] for one in outputs["artifacts"].values())
        return artifact["uri"].split("/")[-3]
    except (ValueError, LookupError, TypeError, AttributeError) as err:
        raise UserError(
            "--json_serialized_invocation_args must be an ExecutorInput in JSON, with outputs. "
            f"Received: {executor_input[:60]!r}"
        ) from err


def _fail(message: str, code: int) -> int:
    sys.stdout.flush()
    print(f"signs: {message}", file=sys.stderr, flush=True)
    return code


def _end_on_sigterm() -> None:
    """Ends the process at once when the pod is told to go.

    A handler in Python waits for the operation that TensorFlow is in: minutes, at times. But the
    number of a signal is written to the wake-up socket whatever the main thread does. Both may
    hear it, and only the first one tells.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    told = threading.Lock()

    def end(*_: object) -> None:
        if told.acquire(blocking=False):
            ending.end()
            _fail("ended by SIGTERM", 128 + signal.SIGTERM)
        else:
            time.sleep(_ENDING_S)  # the process ends within it, unless standard output blocks
        os._exit(128 + signal.SIGTERM)

    def wait(_: socket.socket = sender) -> None:  # keeps the socket open
        while number := receiver.recv(1):
            if number[0] == signal.SIGTERM:
                end()

    signal.signal(signal.SIGTERM, end)
    signal.set_wakeup_fd(sender.fileno())
    threading.Thread(target=wait, name="sigterm", daemon=True).start()


def _show_training() -> None:
    """Puts a training's progress into the step's log: nobody else asks for it."""
    handler = logging.StreamHandler()
    for room in ("modules", "kubeflow.together"):
        logger = logging.getLogger(room)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        logger.propagate = False  # else TFX's handler prints it once more


if __name__ == "__main__":
    faulthandler.enable()
    _show_training()
    _end_on_sigterm()
    sys.exit(main(sys.argv[1:]))
