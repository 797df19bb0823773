"""A gRPC server whose one RPC is a method that a test makes up, and its stub."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import grpc
import pytest

from model_server.access.access import read_access
from model_server.grpc_api.grpc_server import GrpcServer
from model_server.grpc_api.rpc import Method, Rpcs
from model_server.metrics import Metrics
from model_server.options import ServerOptions
from model_server.process import free_port
from model_server.tracing import Tracing
from signs import protos

SERVICE = "testing.Echo"
WAIT_S = 20


def echo(request, deadline=None):
    return protos.PredictResponse(model_spec=request.model_spec)


def request(name: str = "m") -> protos.PredictRequest:
    return protos.PredictRequest(model_spec={"name": name})


@contextmanager
def serving(
    method: Method = echo,
    tracing: Tracing | None = None,
    is_available: Callable[[str], bool | None] = lambda name: None,
    **options,
) -> Iterator[SimpleNamespace]:
    """A server whose one RPC, Predict, is `method`."""
    metrics = Metrics()
    options = {"port": free_port(), **options}
    rpcs = Rpcs(options.get("grpc_max_threads", 4), metrics, tracing)
    chosen = ServerOptions(**options)
    server = GrpcServer(chosen, rpcs, read_access(chosen))
    server.check_port()
    server.start({SERVICE: {"Predict": (method, protos.PredictRequest)}}, is_available)
    try:
        yield SimpleNamespace(server=server, address=server.address, metrics=metrics, rpcs=rpcs)
    finally:
        server.stop(0)


@contextmanager
def calling(
    address: str, credentials: grpc.ChannelCredentials | None = None, **channel_options
) -> Iterator[Callable[..., object]]:
    """The stub of the one RPC."""
    options = [(f"grpc.{name}", value) for name, value in channel_options.items()]
    with (
        grpc.secure_channel(address, credentials, options)
        if credentials
        else grpc.insecure_channel(address, options)
    ) as channel:
        yield channel.unary_unary(
            f"/{SERVICE}/Predict",
            request_serializer=lambda message: (
                message if isinstance(message, bytes) else message.SerializeToString()
            ),
            response_deserializer=protos.PredictResponse.FromString,
        )


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def counted(metrics: Metrics) -> list[str]:
    """The lines of the metrics page on requests over gRPC."""
    names = (b":tensorflow:serving:request_count{", b":tensorflow:serving:request_latency_count{")
    return [line.decode() for line in metrics.render().splitlines() if line.startswith(names)]
