"""Tokens over gRPC, on a real server."""

from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from model_server.access.tokens import REFUSAL
from tests.model_server.grpc_api.echo import SERVICE, WAIT_S, calling, refusal, request, serving

TOKEN = "0123456789abcdef"
UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, REFUSAL)


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "tokens").write_text(TOKEN)
    return str(tmp_path / "tokens")


def test_who_is_let_in(file: str) -> None:
    large = request("m" * 20_000_000)
    with serving(auth_token_file=file) as running, calling(running.address) as predict:
        known = [("authorization", f"Bearer {TOKEN}")]
        assert predict(request(), timeout=WAIT_S, metadata=known).model_spec.name == "m"
        for metadata in (
            None,
            [("authorization", f"Bearer {TOKEN}x")],
            [("authorization", TOKEN)],
            [("x-authorization", f"Bearer {TOKEN}")],
            [*known, *known],
            # No browser speaks gRPC.
            [("authorization", "Basic eDowMTIzNDU2Nzg5YWJjZGVm")],
        ):
            for sent in (request(), large):
                call = lambda m=metadata, r=sent: predict(r, timeout=WAIT_S, metadata=m)  # noqa: E731
                assert refusal(call) == UNAUTHENTICATED


def test_what_is_told_to_strangers(file: str) -> None:
    """Health, and nothing else: not even which methods there are."""
    flags = {"auth_token_file": file, "enable_grpc_healthcheck_service": True}
    with serving(**flags) as running, grpc.insecure_channel(running.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for method in (
            "/tensorflow.ProfilerService/Terminate",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
            f"/{SERVICE}/NoSuch",
            "/grpc.health.v1.HealthX/Check",
            "/",
        ):
            call = channel.unary_unary(method)
            assert refusal(lambda c=call: c(b"", timeout=WAIT_S)) == UNAUTHENTICATED
        stream = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        assert refusal(lambda: list(stream(iter([b""]), timeout=WAIT_S))) == UNAUTHENTICATED


@pytest.mark.parametrize(
    ("flags", "answers"),
    [
        ({}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "0.0.0.0", "enable_reflection": True}, True),
    ],
)
def test_reflection_is_for_this_machine(flags: dict, answers: bool) -> None:
    with serving(**flags) as running:
        address = running.address.replace("0.0.0.0", "127.0.0.1")
        with grpc.insecure_channel(address) as channel:
            ask = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
            call = ask(iter([]), timeout=WAIT_S)
            if answers:
                assert list(call) == []
            else:
                assert refusal(lambda: list(call))[0] is grpc.StatusCode.UNIMPLEMENTED
