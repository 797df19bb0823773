"""Executors small enough to show what the adapter hands them."""

import ctypes
import io
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from kubeflow.step import ending
from signs.errors import UserError

Artifacts = dict[str, list[types.Artifact]]


class Copy(BaseExecutor):
    """Copies the artifact `model` with its properties, and writes down what it was given."""

    def Do(  # noqa: N802 - TFX's name
        self, inputs: Artifacts, outputs: Artifacts, properties: dict[str, Any]
    ) -> None:
        model = artifact_utils.get_single_instance(inputs["model"])
        copy = artifact_utils.get_single_instance(outputs["copy"])
        uri = copy.uri
        copy.copy_from(model)
        copy.uri = uri
        copy.set_string_custom_property("current_model", model.uri)
        with fileio.open(os.path.join(model.uri, "weights")) as file:  # noqa: PTH118
            weights = file.read()
        seen = {
            "type": type(model).__name__,
            "weights": weights,
            "inputs": sorted(inputs),
            "outputs": sorted(outputs),
            "properties": properties,
            "temporary": [self._get_tmp_dir(), tempfile.gettempdir(), os.environ["TMPDIR"]],
        }
        with fileio.open(os.path.join(copy.uri, "seen.json"), "w") as file:  # noqa: PTH118
            file.write(json.dumps(seen))


class Fail(BaseExecutor):
    """Writes half of its output, then raises what the property says."""

    def Do(  # noqa: N802 - TFX's name
        self, inputs: Artifacts, outputs: Artifacts, properties: dict[str, Any]
    ) -> None:
        Path(outputs["copy"][0].uri, "half").touch()
        if properties["how"] == "exit":
            raise SystemExit(0)
        if properties["how"] == "user":
            raise UserError("min_accuracy must be in [0, 1]. Received: 7")
        raise RuntimeError("the data are\nno images")


class _Slow(io.TextIOBase):
    """A stream that leaves two writers the time to come in between each other."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        count = self._stream.write(text)
        self._stream.flush()
        time.sleep(0.05)
        return count


class Sleep(BaseExecutor):
    """Is in the middle of something that holds up the main thread."""

    def Do(  # noqa: N802 - TFX's name
        self, inputs: Artifacts, outputs: Artifacts, properties: dict[str, Any]
    ) -> None:
        logging.getLogger("modules.training.progress").info("epoch 1/2")
        sys.stderr = _Slow(sys.stderr)
        with ending.before_end(lambda: print("tidied up", flush=True)):
            print("asleep", flush=True)
            # As an operation of TensorFlow: no Python handler is called.
            ctypes.CDLL(None).sleep(600)
