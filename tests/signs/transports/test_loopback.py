"""Which hosts are this very machine."""

import pytest

from signs.transports.loopback import is_loopback


@pytest.mark.parametrize(
    ("host", "is_so"),
    [
        *((host, True) for host in ("localhost", "LocalHost.", "a.localhost", "127.8.8.8", "::1")),
        *((host, False) for host in ("", "localhost.a", "alocalhost", "10.0.0.1", "::", "127.1")),
    ],
)
def test_this_machine(host: str, is_so: bool) -> None:
    assert is_loopback(host) is is_so
