"""The model server that the check asks: one that somebody has started ahead, or one of its own.

    with quick_server() as server, lent(server):
        server.launch()
        ...  # components run; the check among them asks this server

TFX makes an executor from text alone: what is lent to it is found by the context that it runs in.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from model_server import ServerProcess
from trust.keys import PUBLIC

# A few requests to one signature do not make up for optimising all of them.
_QUICK = ("--enable_model_warmup=false",)
_START_TIMEOUT_S = 300.0

_LENT: ContextVar[ServerProcess | None] = ContextVar("_LENT", default=None)


def quick_server(keys: str | os.PathLike[str] | None = None) -> ServerProcess:
    """A server of no model yet, whose models answer as soon as they are loaded.

    Args:
        keys: folder of the keys that must have signed them; None for none.
    """
    signed = [] if keys is None else [f"--model_signing_key={Path(keys, PUBLIC).resolve()}"]
    return ServerProcess(start_timeout_s=_START_TIMEOUT_S, flags=[*_QUICK, *signed])


@contextmanager
def lent(server: ServerProcess) -> Iterator[None]:
    """Lends a server to the checks that run within the block, in this thread."""
    token = _LENT.set(server)
    try:
        yield
    finally:
        _LENT.reset(token)


@contextmanager
def borrowed(keys: str | os.PathLike[str] | None = None) -> Iterator[ServerProcess]:
    """The server that was lent, to be left as it is; or one that ends with the block.

    Args:
        keys: see `quick_server`.
    """
    server = _LENT.get()
    if server is not None:
        yield server
        return
    with quick_server(keys) as server:
        yield server
