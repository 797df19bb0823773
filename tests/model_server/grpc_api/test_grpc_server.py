"""The gRPC server around methods that are made up here: TLS, sockets, sizes, the end."""

import socket
import threading
import time

import grpc
import pytest

from model_server.access.access import read_access
from model_server.grpc_api.grpc_server import GrpcServer
from model_server.grpc_api.rpc import Rpcs
from model_server.metrics import Metrics
from model_server.options import ServerOptions, StartError
from model_server.process import free_port
from signs import protos
from tests.model_server.authority import Authority, ssl_config
from tests.model_server.grpc_api.echo import WAIT_S, calling, echo, refusal, request, serving


def test_messages_may_be_large():
    large = request()
    large.inputs["x"].tensor_content = bytes(20_000_000)

    def send_back(request, deadline=None):
        response = protos.PredictResponse()
        response.outputs["y"].CopyFrom(request.inputs["x"])
        return response

    with (
        serving(send_back, max_request_bytes=2**25) as running,
        calling(running.address, max_receive_message_length=-1) as predict,
    ):
        answer = predict(large, timeout=WAIT_S)
        assert len(answer.outputs["y"].tensor_content) == 20_000_000
        zipped = predict(large, timeout=WAIT_S, compression=grpc.Compression.Gzip)
        assert len(zipped.outputs["y"].tensor_content) == 20_000_000
    for limit in ({"grpc_channel_arguments": "grpc.max_receive_message_length=1000"}, {}):
        with serving(**limit) as running, calling(running.address) as predict:
            code, _ = refusal(lambda call=predict: call(large, timeout=WAIT_S))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_channel_arguments():
    with serving(grpc_channel_arguments="grpc.max_connection_age_ms=300,a=b=c") as running:
        # The server hangs up after that time; calls go on over a new connection.
        states = []
        with grpc.insecure_channel(running.address) as channel:
            channel.subscribe(states.append, try_to_connect=True)
            deadline = time.monotonic() + WAIT_S
            while grpc.ChannelConnectivity.IDLE not in states[1:]:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        with calling(running.address) as predict:
            assert predict(request(), timeout=WAIT_S).model_spec.name == "m"


@pytest.mark.parametrize("text", ["a", "a=1,", ",a=1", "=1", "a=1,,b=2"])
def test_channel_arguments_that_are_none(text):
    with pytest.raises(StartError) as caught:
        options = ServerOptions(grpc_channel_arguments=text)
        GrpcServer(options, Rpcs(1, Metrics()), read_access(options))
    assert str(caught.value) == (
        "INVALID_ARGUMENT: --grpc_channel_arguments must be key=value,key=value. Received: " + text
    )


def test_unix_socket(tmp_path):
    path = tmp_path / "socket"
    path.touch()
    path.unlink()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))  # what a killed server leaves behind
    with serving(port=0, grpc_socket_path=str(path)), calling(f"unix:{path}") as predict:
        assert predict(request(), timeout=WAIT_S).model_spec.name == "m"
    with (
        serving(grpc_socket_path=str(path)) as running,
        calling(f"unix:{path}") as over_socket,
        calling(running.address) as over_tcp,
    ):
        assert over_socket(request("a"), timeout=WAIT_S).model_spec.name == "a"
        assert over_tcp(request("b"), timeout=WAIT_S).model_spec.name == "b"


def test_loopback_only_unless_told_otherwise():
    with serving() as running:
        assert running.address.startswith("127.0.0.1:")
        with calling(running.address.replace("127.0.0.1", "127.0.0.2")) as predict:
            code, _ = refusal(lambda: predict(request(), timeout=WAIT_S))
            assert code is grpc.StatusCode.UNAVAILABLE
    with (
        serving(host="0.0.0.0") as running,
        calling(running.address.replace("0.0.0.0", "127.0.0.2")) as predict,
    ):
        assert predict(request(), timeout=WAIT_S).model_spec.name == "m"
    with serving(host="::1") as running, calling(running.address) as predict:
        assert running.address.startswith("[::1]:")
        assert predict(request(), timeout=WAIT_S).model_spec.name == "m"


CANNOT_LISTEN = "INVALID_ARGUMENT: Failed to BuildAndStart gRPC server"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"host": "192.0.2.1"}, "Cannot assign requested address"),
        ({"port": 65536}, "0-65535"),
        ({"port": -1}, "Servname not supported"),
        ({"host": "no.such.host.invalid"}, "no.such.host.invalid"),
    ],
)
def test_addresses_that_cannot_be_listened_on(options, reason, caplog):
    with pytest.raises(StartError) as caught, serving(**options):
        pass
    assert str(caught.value) == CANNOT_LISTEN
    assert reason in caplog.text


def test_a_port_that_is_taken(caplog):
    with serving() as running:
        with pytest.raises(StartError) as caught, serving(port=running.server._options.port):
            pass
        assert str(caught.value) == CANNOT_LISTEN
        assert f"Cannot listen at {running.address}: Address already in use" in caplog.text
    # grpc's own way of sharing a port, where it is asked for.
    shared = {"grpc_channel_arguments": "grpc.so_reuseport=1", "port": free_port()}
    with serving(**shared), serving(**shared):
        pass


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("authority")


def test_tls(tmp_path, authority):
    path = ssl_config(tmp_path / "ssl.txt", *authority.issue("server"))
    trusting = grpc.ssl_channel_credentials(authority.pem.encode())
    with serving(ssl_config_file=path) as running:
        address = running.address.replace("127.0.0.1", "localhost")
        with calling(address, trusting) as predict:
            assert predict(request(), timeout=WAIT_S).model_spec.name == "m"
        with calling(address) as plain:
            assert refusal(lambda: plain(request(), timeout=2))[0] in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            )


def test_mutual_tls(tmp_path, authority):
    other = Authority("other")
    path = ssl_config(tmp_path / "ssl.txt", *authority.issue("server"), authority.pem, "true")
    with serving(ssl_config_file=path) as running:
        address = running.address.replace("127.0.0.1", "localhost")

        def credentials(key: str, certificate: str) -> grpc.ChannelCredentials:
            return grpc.ssl_channel_credentials(
                authority.pem.encode(), key.encode(), certificate.encode()
            )

        with calling(address, credentials(*authority.issue("client"))) as predict:
            assert predict(request(), timeout=WAIT_S).model_spec.name == "m"
        for unknown in (
            grpc.ssl_channel_credentials(authority.pem.encode()),
            credentials(*other.issue("client")),
        ):
            with calling(address, unknown) as predict:
                assert refusal(lambda call=predict: call(request(), timeout=2))[0] in (
                    grpc.StatusCode.UNAVAILABLE,
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                )


# --- The end -------------------------------------------------------------------------------------


def test_requests_in_flight_are_answered_and_new_ones_refused():
    begun, release = threading.Event(), threading.Event()

    def wait(request, deadline=None):
        if request.model_spec.name == "slow":
            begun.set()
            assert release.wait(WAIT_S)
        return echo(request)

    def is_refused() -> bool:
        with calling(running.address) as predict:
            try:
                predict(request(), timeout=1)
            except grpc.RpcError as error:
                # One that comes in the very moment of the stop may be neither taken nor refused.
                return error.code() is grpc.StatusCode.UNAVAILABLE
        return False

    with serving(wait) as running, calling(running.address) as predict:
        call = predict.future(request("slow"), timeout=WAIT_S)
        assert begun.wait(WAIT_S)
        stopped = []
        stopping = threading.Thread(target=lambda: stopped.append(running.server.stop(WAIT_S)))
        stopping.start()
        while not is_refused():
            assert stopping.is_alive()
        assert not call.done()
        release.set()
        assert call.result().model_spec.name == "slow"
        stopping.join(WAIT_S)
        assert stopped == [True]


def test_a_request_that_does_not_end_is_left_behind():
    release = threading.Event()

    def wait(request, deadline=None):
        release.wait(WAIT_S)
        return echo(request)

    with serving(wait) as running, calling(running.address) as predict:
        call = predict.future(request(), timeout=WAIT_S)
        while not running.rpcs.in_flight:
            time.sleep(0.01)
        started = time.monotonic()
        assert running.server.stop(0.2) is False
        assert time.monotonic() - started < 2
        assert call.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
        release.set()
