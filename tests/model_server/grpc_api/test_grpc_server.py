"""The gRPC server around methods that are made up here: limits, errors, TLS, sockets, the end."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_database, descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from model_server.errors import NotFoundError
from model_server.grpc_api.grpc_server import GrpcServer
from model_server.grpc_api.rpc import Method, Rpcs
from model_server.metrics import Metrics
from model_server.options import ServerOptions, StartError
from model_server.process import free_port
from signs import protos

SERVICE = "testing.Echo"
WAIT_S = 20


def echo(request, deadline=None):
    return protos.PredictResponse(model_spec=request.model_spec)


def request(name: str = "m") -> protos.PredictRequest:
    return protos.PredictRequest(model_spec={"name": name})


@contextmanager
def serving(method: Method = echo, **options) -> Iterator[SimpleNamespace]:
    """A server whose one RPC, Predict, is `method`."""
    metrics = Metrics()
    options = {"port": free_port(), **options}
    rpcs = Rpcs(options.get("grpc_max_threads", 4), metrics)
    server = GrpcServer(ServerOptions(**options), rpcs)
    server.check_port()
    server.start({SERVICE: {"Predict": (method, protos.PredictRequest)}})
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


def test_an_answer_is_counted():
    with serving() as running, calling(running.address) as predict:
        assert predict(request(), timeout=WAIT_S).model_spec.name == "m"
        assert counted(running.metrics) == [
            ':tensorflow:serving:request_count{model_name="m",status="OK"} 1',
            ':tensorflow:serving:request_latency_count{model_name="m",API="Predict",'
            'entrypoint="GRPC"} 1',
        ]


def test_errors():
    def fail(request, deadline=None):
        if request.model_spec.name == "bug":
            raise ValueError("secret")
        raise NotFoundError("é" * 600)

    with serving(fail) as running, calling(running.address) as predict:
        assert refusal(lambda: predict(request(), timeout=WAIT_S)) == (
            grpc.StatusCode.NOT_FOUND,
            "é" * 512 + "...TRUNCATED",
        )
        assert refusal(lambda: predict(request("bug"), timeout=WAIT_S)) == (
            grpc.StatusCode.INTERNAL,
            "Internal error; the server's log says more",
        )
        # These bytes are no message: what gRPC's C++ server answers.
        assert refusal(lambda: predict(b"\xff\xff", timeout=WAIT_S)) == (
            grpc.StatusCode.INTERNAL,
            "",
        )
        assert counted(running.metrics) == [
            ':tensorflow:serving:request_count{model_name="bug",status="INTERNAL"} 1',
            ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"} 1',
        ]


def test_a_bug_leaves_its_traceback_in_the_log(caplog):
    def fail(request, deadline=None):
        raise ValueError("why")

    with serving(fail) as running, calling(running.address) as predict:
        refusal(lambda: predict(request(), timeout=WAIT_S))
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.getMessage() == "Predict failed for a reason that is not the caller's"
    assert str(record.exc_info[1]) == "why"


def test_deadlines_reach_the_method():
    deadlines = []

    def note(request, deadline=None):
        deadlines.append(deadline)
        return echo(request)

    with serving(note) as running, calling(running.address) as predict:
        predict(request(), timeout=100)
        predict(request())
    # On the wire, times are rounded up.
    assert 90 < deadlines[0] - time.monotonic() < 110
    assert deadlines[1] is None


def test_more_than_the_limit_is_refused_at_once():
    release = threading.Event()

    def wait(request, deadline=None):
        assert release.wait(WAIT_S)
        return echo(request)

    with serving(wait, grpc_max_threads=2) as running, calling(running.address) as predict:
        taken = [predict.future(request(), timeout=WAIT_S) for _ in range(2)]
        while running.rpcs.in_flight < 2:
            time.sleep(0.01)
        refused = [predict.future(request(), timeout=WAIT_S) for _ in range(30)]
        assert {(call.code(), call.details()) for call in refused} == {
            (grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
        }
        release.set()
        assert [call.result().model_spec.name for call in taken] == ["m", "m"]
        assert predict(request(), timeout=WAIT_S).model_spec.name == "m"
        assert counted(running.metrics)[0].endswith('status="OK"} 3')


def test_callers_that_send_nothing_do_not_take_the_place_of_others():
    with (
        serving(grpc_max_threads=1) as running,
        calling(running.address) as predict,
        grpc.insecure_channel(running.address) as channel,
    ):
        release = threading.Event()

        def nothing() -> Iterator[bytes]:
            release.wait(WAIT_S)
            yield from ()

        silent = channel.stream_unary(f"/{SERVICE}/Predict")
        calls = [silent.future(nothing(), timeout=WAIT_S) for _ in range(5)]
        assert predict(request(), timeout=WAIT_S).model_spec.name == "m"
        release.set()
        assert [call.code() for call in calls] == [grpc.StatusCode.UNIMPLEMENTED] * 5


def test_messages_may_be_large():
    large = request()
    large.inputs["x"].tensor_content = bytes(20_000_000)

    def send_back(request, deadline=None):
        response = protos.PredictResponse()
        response.outputs["y"].CopyFrom(request.inputs["x"])
        return response

    with (
        serving(send_back) as running,
        calling(running.address, max_receive_message_length=-1) as predict,
    ):
        answer = predict(large, timeout=WAIT_S)
        assert len(answer.outputs["y"].tensor_content) == 20_000_000
        zipped = predict(large, timeout=WAIT_S, compression=grpc.Compression.Gzip)
        assert len(zipped.outputs["y"].tensor_content) == 20_000_000
    limit = "grpc.max_receive_message_length=1000"
    with serving(grpc_channel_arguments=limit) as running, calling(running.address) as predict:
        code, _ = refusal(lambda: predict(large, timeout=WAIT_S))
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
        GrpcServer(ServerOptions(grpc_channel_arguments=text), Rpcs(1, Metrics()))
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


class Authority:
    """Issues certificates for localhost."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.pem = self._sign(self._name, self._key, is_authority=True)

    def issue(self, name: str) -> tuple[str, str]:
        """A private key and its certificate, as PEM texts."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return pem.decode(), self._sign(subject, key, is_authority=False)

    def _sign(self, subject, key, *, is_authority: bool) -> str:
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()


def ssl_config(path: Path, key: str, certificate: str, authority: str = "", verify="false") -> str:
    quoted = [text.replace("\n", "\\n") for text in (key, certificate, authority)]
    path.write_text(
        'server_key: "{}" server_cert: "{}" custom_ca: "{}" client_verify: {}'.format(
            *quoted, verify
        )
    )
    return str(path)


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


def test_tls_that_cannot_be_used(tmp_path, authority):
    path = tmp_path / "ssl.txt"
    for text, error in [
        (None, f"NOT_FOUND: {path}; No such file or directory"),
        ("server_kex: 'x'", f"INVALID_ARGUMENT: Invalid protobuf file: '{path}'"),
        (
            "client_verify: true",
            f"INVALID_ARGUMENT: client_verify needs a custom_ca to verify clients with: '{path}'",
        ),
        ("server_key: 'x' server_cert: 'y'", CANNOT_LISTEN),
        ("# nothing", CANNOT_LISTEN),
    ]:
        if text is not None:
            path.write_text(text)
        with pytest.raises(StartError) as caught, serving(ssl_config_file=str(path)):
            pass
        assert str(caught.value) == error


# --- What every gRPC server has ------------------------------------------------------------------


def test_health():
    with (
        serving(enable_grpc_healthcheck_service=True) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)

        def check(service: str) -> int:
            question = health_pb2.HealthCheckRequest(service=service)
            return health.Check(question, timeout=WAIT_S).status

        assert [check(name) for name in ("", "ModelService", "PredictionService")] == [1, 1, 1]
        assert refusal(lambda: check("tensorflow.serving.PredictionService")) == (
            grpc.StatusCode.NOT_FOUND,
            "service name unknown",
        )
        watched = health.Watch(health_pb2.HealthCheckRequest(service="x"), timeout=WAIT_S)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watched = health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=WAIT_S)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        # Who watches hears of the end, and does not hold it up.
        started = time.monotonic()
        assert running.server.stop(30)
        assert time.monotonic() - started < 5
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_watchers_that_come_and_go_do_not_stop_the_server():
    with (
        serving(enable_grpc_healthcheck_service=True) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        for _ in range(100):
            calls = [health.Watch(health_pb2.HealthCheckRequest(), timeout=WAIT_S) for _ in "ab"]
            assert next(calls[0]).status == health_pb2.HealthCheckResponse.SERVING
            for call in calls:
                call.cancel()
        check = health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
        assert check.status == health_pb2.HealthCheckResponse.SERVING
        eventually_free = time.monotonic() + WAIT_S
        while running.server._health._watchers:
            assert time.monotonic() < eventually_free
            time.sleep(0.01)


def test_no_health_unless_asked_for():
    with serving() as running, grpc.insecure_channel(running.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        code, _ = refusal(lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S))
        assert code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection(version):
    described = "tensorflow.serving.PredictionService"
    with serving() as running, grpc.insecure_channel(running.address) as channel:
        ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        services, file = ask(
            iter(
                [
                    reflection_pb2.ServerReflectionRequest(list_services=""),
                    reflection_pb2.ServerReflectionRequest(file_containing_symbol=described),
                ]
            ),
            timeout=WAIT_S,
        )
        assert [service.name for service in services.list_services_response.service] == [
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "tensorflow.ProfilerService",
            SERVICE,
        ]
        # All that is needed to call it, in a pool that knows nothing.
        files = file.file_descriptor_response.file_descriptor_proto
        known = descriptor_database.DescriptorDatabase()
        for serialized in files:
            known.Add(descriptor_pb2.FileDescriptorProto.FromString(serialized))
        pool = descriptor_pool.DescriptorPool(known)
        method = pool.FindServiceByName(described).methods_by_name["Predict"]
        assert method.input_type.full_name == "tensorflow.serving.PredictRequest"
        assert method.output_type.full_name == "tensorflow.serving.PredictResponse"


def test_profiler_and_unknown_methods():
    with serving() as running, grpc.insecure_channel(running.address) as channel:

        def call(method: str) -> object:
            return channel.unary_unary(method)(b"", timeout=WAIT_S)

        assert refusal(lambda: call("/tensorflow.ProfilerService/Monitor")) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "unimplemented.",
        )
        assert call("/tensorflow.ProfilerService/Terminate") == b""
        assert refusal(lambda: call("/tensorflow.ProfilerService/Profile")) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "Profiling is not supported.",
        )
        for method in (f"/{SERVICE}/Classify", "/tensorflow.serving.SessionService/SessionRun"):
            assert refusal(lambda name=method: call(name))[0] is grpc.StatusCode.UNIMPLEMENTED
    with (
        serving(enable_profiler=False) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        terminate = channel.unary_unary("/tensorflow.ProfilerService/Terminate")
        code, _ = refusal(lambda: terminate(b"", timeout=WAIT_S))
        assert code is grpc.StatusCode.UNIMPLEMENTED


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
