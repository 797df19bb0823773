"""Which of several servers is asked."""

import asyncio

import grpc
import pytest

from signs import Client, ClientError, protos
from signs.transports.several import Several
from signs.transports.transport import TransportError


class One:
    """A transport that answers with its name, or refuses."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.refusal: grpc.StatusCode | None = None
        self.is_closed = False

    async def status(self, timeout_s, headers):
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise TransportError(self.refusal, self.name)
        return protos.GetModelStatusResponse(
            model_version_status=[{"status": {"error_message": self.name}}]
        )

    async def close(self):
        self.is_closed = True


def ask(several: Several) -> str:
    """Who answers or refuses one request."""
    try:
        answer = asyncio.run(several.status(1.0))
    except TransportError as error:
        return f"not {error.details}"
    return answer.model_version_status[0].status.error_message


def test_the_next_is_asked_when_one_is_away():
    a, b = One("a"), One("b")
    several = Several([a, b])
    assert ask(several) == "a"
    a.refusal = grpc.StatusCode.UNAVAILABLE
    assert [ask(several) for _ in range(3)] == ["not a", "b", "b"]
    a.refusal, b.refusal = None, grpc.StatusCode.CANCELLED
    assert [ask(several) for _ in range(3)] == ["not b", "a", "a"]
    a.refusal = grpc.StatusCode.INVALID_ARGUMENT
    assert [ask(several) for _ in range(2)] == ["not a", "not a"]


def test_requests_that_fail_together_go_on_by_one():
    a, b, c = One("a"), One("b"), One("c")
    a.refusal = grpc.StatusCode.UNAVAILABLE
    several = Several([a, b, c])

    async def ask_twice():
        return await asyncio.gather(
            several.status(1.0), several.status(1.0), return_exceptions=True
        )

    assert [error.details for error in asyncio.run(ask_twice())] == ["a", "a"]
    assert ask(several) == "b"


def test_all_are_closed():
    all_of_them = [One("a"), One("b")]
    asyncio.run(Several(all_of_them).close())
    assert [one.is_closed for one in all_of_them] == [True, True]


@pytest.mark.parametrize("address", ["127.0.0.1:1,", "127.0.0.1:1,nonsense", ",127.0.0.1:1"])
def test_each_address_must_be_one(address):
    with pytest.raises(ClientError, match='must be "host:port"'):
        Client(address)
