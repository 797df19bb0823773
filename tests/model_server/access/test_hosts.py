"""Which `Host` headers are ours."""

import socket

import pytest

from model_server.access.hosts import Hosts, host_of

OURS = [
    *(
        "localhost",
        "LOCALHOST:8501",
        "localhost.",
        "signs.localhost:1",
        "127.0.0.1",
        "127.9.9.9:80",
    ),
    *("[::1]", "[::1]:8501", "192.168.1.7:8501", "[fd00::2]:8501", "1.2.3.4", ""),
    *(socket.gethostname(), f"{socket.gethostname().upper()}.local:8501"),
]
OTHERS = [
    *("evil.example", "evil.example:8501", "localhost.evil.example", "127.0.0.1.evil.example"),
    *("evillocalhost", "evil.example#localhost", "localhost@evil.example", "[::1].evil.example"),
    *("[evil.example]", "::1", "localhost, evil.example", "localhost:80:80", "[::1", "a b", "\xff"),
]


@pytest.mark.parametrize("header", OURS)
def test_ours(header: str) -> None:
    assert Hosts("127.0.0.1").allow(header)


@pytest.mark.parametrize("header", OTHERS)
def test_others(header: str) -> None:
    assert not Hosts("127.0.0.1").allow(header)
    assert not Hosts("0.0.0.0").allow(header)


def test_further_names() -> None:
    hosts = Hosts("models.example", ["One.Example.", "*.two.example"])
    for name in ("models.example:8501", "one.example", "a.two.example", "a.b.TWO.example:1"):
        assert hosts.allow(name)
    for name in ("two.example", "eviltwo.example", "a.one.example", "evil.example"):
        assert not hosts.allow(name)
    assert all(Hosts("127.0.0.1", ["*"]).allow(name) for name in (*OURS, *OTHERS))


def test_the_host_of_a_header() -> None:
    assert host_of(" A.Example.:80 ") == "a.example"
    assert host_of("[FD00::2]:80") == "fd00::2"
    assert host_of("a:b") is None
