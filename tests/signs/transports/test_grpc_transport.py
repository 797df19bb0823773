"""What goes over the wire and comes back, with TensorFlow's own messages as the other opinion."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from model_server.process import free_port
from signs import protos
from signs.transports.grpc_transport import AsyncGrpcTransport, GrpcTransport
from signs.transports.transport import (
    ClientError,
    Target,
    Transport,
    TransportError,
    UnexpectedAnswerError,
)

LIMIT = 100_000


class Stock(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """A server on the generated servicers: answers Predict with its inputs, and remembers."""

    def __init__(self) -> None:
        self.asked: list = []

    def Predict(self, request, context):  # noqa: N802
        self.asked.append((request, context))
        if request.model_spec.signature_name == "refuse":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such signature")
        return predict_pb2.PredictResponse(outputs=request.inputs)

    def GetModelStatus(self, request, context):  # noqa: N802
        self.asked.append((request, context))
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(version=3, state=30)
        return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        self.asked.append((request, context))
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.version.value = 3
        signatures = get_model_metadata_pb2.SignatureDefMap()
        signatures.signature_def["look"].inputs["x"].dtype = 1
        response.metadata["signature_def"].Pack(signatures)
        return response


@pytest.fixture(scope="module")
def stock() -> Iterator[Stock]:
    servicer = Stock()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    servicer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield servicer
    server.stop(None).wait()


@pytest.fixture(autouse=True)
def _forget(stock) -> None:
    stock.asked.clear()


def ask(kind: type, address: str, method: str, *arguments: object, **target: object):
    """Calls one method of a transport of that kind."""
    made = (address, Target("signs", **target), None, LIMIT)
    if kind is GrpcTransport:
        transport = GrpcTransport(*made)
        try:
            return getattr(transport, method)(*arguments)
        finally:
            transport.close()

    async def main() -> object:
        transport = AsyncGrpcTransport(*made)
        try:
            return await getattr(transport, method)(*arguments)
        finally:
            await transport.close()

    return asyncio.run(main())


both = pytest.mark.parametrize("kind", [GrpcTransport, AsyncGrpcTransport])
INPUTS = {"x": np.array([b"\x00\xff", b""], object), "n": np.array([[1.5, 2.0]], np.float32)}


@both
def test_predict(kind, stock):
    found = ask(kind, stock.address, "predict", "look", INPUTS, ("n", "x"), 5, {"a": "b"})
    assert list(found) == ["n", "x"]
    np.testing.assert_array_equal(found["n"], INPUTS["n"], strict=True)
    assert found["x"].tolist() == [b"\x00\xff", b""]
    ((request, context),) = stock.asked
    assert isinstance(request, predict_pb2.PredictRequest)
    assert (request.model_spec.name, request.model_spec.signature_name) == ("signs", "look")
    assert list(request.output_filter) == ["n", "x"]
    assert list(request.inputs["x"].string_val) == [b"\x00\xff", b""]
    assert dict(context.invocation_metadata())["a"] == "b"
    assert request.client_id == b""


@both
def test_a_server_that_is_far_away_is_waited_for(kind, stock):
    """The first attempt takes its time; there is no second one here."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_relay, args=(listening, stock.address, 0.4), daemon=True).start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        found = ask(kind, address, "predict", "look", INPUTS, ("n",), 5, {})
    assert list(found) == ["n"]


def _relay(listening: socket.socket, address: str, delay_s: float) -> None:
    """Joins one connection with a server, and says nothing for a while."""
    near, _ = listening.accept()
    time.sleep(delay_s)
    host, _, port = address.rpartition(":")
    far = socket.create_connection((host, int(port)))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=pump, args=(far, near), daemon=True)
    back.start()
    pump(near, far)
    back.join()
    near.close()
    far.close()


@both
def test_optional_outputs(kind, stock):
    """They cannot be asked for by a filter: a server refuses one that names what is not there."""
    found = ask(kind, stock.address, "predict", "look", INPUTS, ("n",), 5, {}, ("z", "x"))
    assert list(found) == ["n", "x"]
    ((request, _),) = stock.asked
    assert list(request.output_filter) == []


@both
def test_status_and_metadata(kind, stock):
    (version,) = ask(kind, stock.address, "status", 5).model_version_status
    assert (version.version, version.state) == (3, protos.ModelVersionStatus.AVAILABLE)
    number, signatures = ask(kind, stock.address, "metadata", 5)
    assert number == 3
    assert signatures.signature_def["look"].inputs["x"].dtype == protos.DataType.DT_FLOAT


@both
@pytest.mark.parametrize("method", ["status", "metadata"])
def test_whom_it_asks(kind, method, stock):
    for target in ({"version": 0}, {"version": 7}, {"label": "stable"}, {}):
        ask(kind, stock.address, method, 5, **target)
    specs = [request.model_spec for request, _ in stock.asked]
    assert [spec.WhichOneof("version_choice") for spec in specs] == [
        *("version", "version", "version_label", None)
    ]
    assert specs[1].version.value == 7
    assert specs[2].version_label == "stable"


def test_who_asks(stock):
    ask(GrpcTransport, stock.address, "predict", "look", INPUTS, (), 5, client_id=b"me")
    assert stock.asked[0][0].client_id == b"me"


@both
def test_refusals(kind, stock):
    def refusal(call: Callable[[], object]) -> tuple[str, str]:
        with pytest.raises(TransportError) as caught:
            call()
        return caught.value.code.name, caught.value.details

    assert refusal(lambda: ask(kind, stock.address, "predict", "refuse", INPUTS, (), 5)) == (
        *("NOT_FOUND", "no such signature"),
    )
    large = {"x": np.zeros(LIMIT, np.uint8)}
    code, _ = refusal(lambda: ask(kind, stock.address, "predict", "look", large, ("x",), 5))
    assert code == "RESOURCE_EXHAUSTED"
    nobody = f"127.0.0.1:{free_port()}"
    code, details = refusal(lambda: ask(kind, nobody, "status", 5))
    assert code == "UNAVAILABLE"
    assert "failed to connect" in details.lower()


@both
def test_an_output_that_is_missing(kind, stock):
    with pytest.raises(UnexpectedAnswerError, match='output "y": unsupported type 0'):
        ask(kind, stock.address, "predict", "look", INPUTS, ("y",), 5)


@both
@pytest.mark.parametrize("address", ["", "host", ":1", "host:0", "host:65536", "host:x"])
def test_an_address_that_is_none(kind, address):
    with pytest.raises(ClientError, match='`address` must be "host:port"'):
        kind(address, Target("signs"), None, LIMIT)


@both
def test_a_unix_socket(kind, tmp_path):
    server = grpc.server(futures.ThreadPoolExecutor(1))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Stock(), server)
    server.add_insecure_port(f"unix:{tmp_path}/socket")
    server.start()
    assert ask(kind, f"unix:{tmp_path}/socket", "status", 5).model_version_status[0].version == 3
    server.stop(None).wait()


def test_each_has_a_connection_of_its_own(stock):
    transports = [GrpcTransport(stock.address, Target("signs"), None, LIMIT) for _ in range(3)]
    for transport in transports:
        transport.status(5)
    assert len({context.peer() for _, context in stock.asked}) == 3
    for transport in transports:
        transport.close()


def test_one_that_was_never_used_is_closed():
    transport: Transport = GrpcTransport("127.0.0.1:1", Target("signs"), None, LIMIT)
    transport.close()
    asyncio.run(AsyncGrpcTransport("127.0.0.1:1", Target("signs"), None, LIMIT).close())
