"""A server ends under load, and a second one beside it: no request is lost."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent import futures

import grpc
import pytest
import urllib3
from grpc_health.v1 import health_pb2, health_pb2_grpc

from model_server.access.access import read_access
from model_server.errors import ModelError
from model_server.grpc_api.grpc_server import GrpcServer
from model_server.grpc_api.rpc import Rpcs
from model_server.metrics import Metrics
from model_server.options import ServerOptions
from model_server.process import free_port
from model_server.rest.app import RestOptions, make_app
from model_server.rest.server import RestServer
from model_server.services.rpcs import rpcs
from signs import Client, protos
from tests.model_server.rest.core import Core
from tests.model_server.stand_in import eventually
from tests.served import RED

WAIT_S = 20
ROUNDS = 4
CLIENTS = 6


class Server:
    """Both APIs, on ports that stay."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.port, self.rest_port = free_port(), free_port()

    def start(self) -> None:
        core = self._core
        options = ServerOptions(port=self.port, enable_grpc_healthcheck_service=True)
        self.grpc = GrpcServer(options, Rpcs(64, core.metrics), read_access(options))
        self.grpc.start(rpcs(core.predictions, core.statuses))
        app = make_app(core.predictions, core.statuses, RestOptions(), core.metrics)
        self.rest = RestServer(app, "127.0.0.1", self.rest_port, 8)
        self.rest.start()

    def stop(self, lame_duck_s: float = 0.0) -> None:
        with futures.ThreadPoolExecutor() as pool:
            stops = [pool.submit(one.stop, 10, lame_duck_s) for one in (self.grpc, self.rest)]
        assert all(stop.result() for stop in stops)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory):
    core = Core(tmp_path_factory.mktemp("end"))
    eventually(lambda: core.models.newest() == {"m": 123})
    yield core
    core.close()


@pytest.fixture
def servers(core):
    servers = [Server(core), Server(core)]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.stop()


class Load:
    """Clients in threads that ask without a pause; what each answer was."""

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._done = threading.Event()
        self.answers: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(WAIT_S)

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                answer = self._ask()
            except Exception as error:
                answer = f"{type(error).__name__}: {error}"
            self.answers[answer] += 1

    def go_on(self, requests: int) -> None:
        """Waits until so many more are answered."""
        enough = self.answers.total() + requests
        eventually(lambda: self.answers.total() >= enough)


@pytest.mark.parametrize("is_rest", [False, True], ids=["grpc", "rest"])
def test_no_request_is_lost(servers, is_rest):
    address = ",".join(
        f"http://127.0.0.1:{server.rest_port}" if is_rest else f"127.0.0.1:{server.port}"
        for server in servers
    )
    with Client(address, model_name="m", timeout_s=WAIT_S) as client:

        def ask() -> str:
            return client.predict(RED)[0].class_name

        with Load(ask) as load:
            for number in range(ROUNDS):
                load.go_on(60)
                server = servers[number % 2]
                server.stop()
                load.go_on(60)
                server.start()
    assert set(load.answers) == {"cat"}


def test_a_plain_http_client_needs_one_more_try(servers):
    """urllib3, told to send again what was not answered, to the same name: a Service, say."""
    first, second = (f"http://127.0.0.1:{server.rest_port}" for server in servers)
    path, body = "/v1/models/m:predict", {"instances": [1]}
    pool = urllib3.PoolManager(maxsize=CLIENTS, retries=False)

    def ask() -> str:
        for address in (first, second):
            try:
                answer = pool.request("POST", address + path, json=body, timeout=WAIT_S)
            except urllib3.exceptions.HTTPError:
                continue
            if answer.status != 503:
                return str(answer.json())
        return "lost"

    with Load(ask) as load:
        for _ in range(2):
            load.go_on(60)
            servers[0].stop()
            load.go_on(60)
            servers[0].start()
    assert set(load.answers) == {"{'predictions': [2.5]}"}


def test_callers_are_told_unavailable(servers):
    """A caller that does not try again hears UNAVAILABLE, as long as it does not ask on and on."""
    request = protos.PredictRequest(model_spec={"name": "m"})
    request.inputs["x"].CopyFrom(protos.TensorProto(dtype=1, float_val=[1.0]))
    request.inputs["x"].tensor_shape.dim.add(size=1)
    told: Counter[tuple[str, str]] = Counter()

    def ask() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{servers[0].port}", options) as channel:
            predict = protos.PredictionServiceStub(channel).Predict
            try:
                while True:
                    predict(request, timeout=WAIT_S)
                    told["OK", ""] += 1
            except grpc.RpcError as error:
                told[error.code().name, error.details()] += 1

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    eventually(lambda: told["OK", ""] > 60)
    servers[0].stop()
    for thread in threads:
        thread.join(WAIT_S)
    del told["OK", ""]
    assert {code for code, _ in told} == {"UNAVAILABLE"}
    assert told["UNAVAILABLE", "The server is stopping"] > CLIENTS // 2
    servers[0].start()


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE])
def test_the_client_asks_again(code):
    asked = []

    def get_status(request, deadline=None):
        asked.append(request)
        if len(asked) == 1:
            raise ModelError(code, "gone")
        return protos.GetModelStatusResponse(model_version_status=[{"version": 3}])

    options = ServerOptions(port=free_port())
    server = GrpcServer(options, Rpcs(4, Metrics()), read_access(options))
    methods = {"GetModelStatus": (get_status, protos.GetModelStatusRequest)}
    server.start({"tensorflow.serving.ModelService": methods})
    try:
        with Client(server.address) as client:
            assert [told.version for told in client.status()] == [3]
        assert len(asked) == 2
    finally:
        server.stop(1)


def test_a_lame_duck_answers_and_sends_away(servers):
    server = servers[0]
    with (
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        urllib3.PoolManager() as pool,
        Client(f"127.0.0.1:{server.port}", model_name="m") as client,
    ):
        check = health_pb2_grpc.HealthStub(channel).Check
        assert check(health_pb2.HealthCheckRequest()).status == 1
        url = f"http://127.0.0.1:{server.rest_port}/v1/models/m"
        assert "connection" not in pool.request("GET", url).headers
        stopping = threading.Thread(target=server.stop, args=[1.5])
        stopping.start()
        eventually(lambda: check(health_pb2.HealthCheckRequest()).status == 2)
        started = time.monotonic()
        assert client.predict(RED)[0].class_name == "cat"
        eventually(lambda: pool.request("GET", url).headers.get("connection") == "close")
        assert time.monotonic() - started < 1.5
        stopping.join(WAIT_S)
    server.start()
