"""A stand-in for a loaded model, and the folders it is loaded from."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from model_server.errors import ModelError

WAIT_S = 10.0


class Loaded:
    """The text of a version's saved_model.pb, which may ask for trouble."""

    signature_defs: dict = {}  # noqa: RUF012

    def __init__(self, path: Path) -> None:
        self.text = (path / "saved_model.pb").read_text()
        self.closed = threading.Event()
        if self.text == "broken":
            raise ModelError(grpc.StatusCode.DATA_LOSS, "Can't parse it")
        if self.text == "bug":
            raise RuntimeError("surprise")

    def close(self) -> None:
        self.closed.set()
        if self.text == "will not close":
            raise RuntimeError("no")


def put(base_path: Path, name: str | int, text: str = "good") -> Path:
    """A version appears whole."""
    aside = base_path.parent / f"aside-{base_path.name}-{name}"
    aside.mkdir(parents=True)
    (aside / "saved_model.pb").write_text(text)
    base_path.mkdir(exist_ok=True)
    return aside.rename(base_path / str(name))


def eventually(condition: Callable[[], bool]) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
