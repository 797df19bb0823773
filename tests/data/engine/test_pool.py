"""A pool on a port."""

import socket

import pytest

from data.engine import pool
from data.engine.engine import EngineError


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=f"cannot listen on 127.0.0.1:{port}: is it in use"):
            pool.start("127.0.0.1", port)


def test_two_pools_do_not_share_a_port() -> None:
    server, port = pool.start("127.0.0.1", 0)
    try:
        with pytest.raises(EngineError):
            pool.start("127.0.0.1", port)
    finally:
        server.stop(0)
