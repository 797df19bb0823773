"""A running server as a rollout sees it: the real services over gRPC, with stand-ins for models."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_server.access.access import read_access
from model_server.grpc_api.grpc_server import GrpcServer
from model_server.grpc_api.rpc import Rpcs
from model_server.metrics import Metrics
from model_server.options import ServerOptions
from model_server.process import free_port
from model_server.services.model_service import ModelService
from model_server.services.prediction_service import PredictionService
from model_server.services.rpcs import rpcs
from model_server.versions.model_store import LoadPolicy
from model_server.versions.models import Models
from pipeline.commands.place import Place, versions
from serving import running_server
from serving.rollout import RolloutError
from serving.running_server import RunningServer
from signs import protos
from tests.model_server.stand_in import Loaded, eventually, put


class Served:
    """A server of the model signs, all of whose versions are loaded."""

    def __init__(self, base_path: Path, **options: object) -> None:
        self.base_path = base_path
        policy = LoadPolicy(poll_wait_s=0.02, max_retries=0)
        self.models = Models(lambda name, path: Loaded(path), policy)
        self.models.start()
        self.label(stable=1)  # refused as long as nothing is loaded
        metrics = Metrics()
        chosen = ServerOptions(port=free_port(), **options)
        self.grpc = GrpcServer(chosen, Rpcs(8, metrics), read_access(chosen))
        self.address = self.grpc.address
        services = PredictionService(self.models), ModelService(self.models, metrics)
        self.grpc.start(rpcs(*services))

    def label(self, **labels: int) -> None:
        for labelled in ({}, labels):
            config = protos.ModelServerConfig()
            model = config.model_config_list.config.add(
                name="signs", base_path=str(self.base_path), model_platform="tensorflow"
            )
            model.model_version_policy.all.SetInParent()
            model.version_labels.update(labelled)
            self.models.reconfigure(config)

    def close(self) -> None:
        self.grpc.stop(0)
        self.models.stop(5)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    put(tmp_path / "signs", 1)
    served = Served(tmp_path / "signs")
    yield served
    served.close()


def test_states(served):
    assert RunningServer(served.address, "signs").states() == {1: "AVAILABLE"}
    assert RunningServer(served.address, "unheard_of").states() == {}


def test_a_version_that_is_pushed_is_waited_for(served):
    server = RunningServer(served.address, "signs")
    pushing = threading.Timer(0.1, put, [served.base_path, 2])
    pushing.start()
    server.wait_until_loaded(2)
    assert server.states()[2] == "AVAILABLE"


def test_a_version_that_cannot_be_loaded_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(running_server, "_ENDED_FOR_GOOD_S", 0)
    server = RunningServer(served.address, "signs")
    put(served.base_path, 2, "broken")
    eventually(lambda: server.states().get(2) == "END")
    with pytest.raises(RolloutError, match="v2 could not be loaded: Can't parse it"):
        server.wait_until_loaded(2)


def test_what_does_not_come_in_time_is_told(served):
    server = RunningServer(served.address, "signs", load_timeout_s=0.3, label_timeout_s=0.3)
    with pytest.raises(RolloutError, match="v9 was not loaded"):
        server.wait_until_loaded(9)
    with pytest.raises(RolloutError, match="stable did not become v2: does the server poll"):
        server.wait_until_labelled("stable", 2)


def test_a_label_that_moves_is_waited_for(served):
    server = RunningServer(served.address, "signs")
    server.wait_until_labelled("stable", 1)
    put(served.base_path, 2)
    server.wait_until_loaded(2)
    served.label(stable=2)
    server.wait_until_labelled("stable", 2)


def test_a_server_that_asks_for_a_token(tmp_path):
    (tmp_path / "token").write_text("0123456789abcdef")
    put(tmp_path / "signs", 1)
    served = Served(tmp_path / "signs", auth_token_file=str(tmp_path / "token"))
    try:
        with pytest.raises(RolloutError, match="A token is needed"):
            RunningServer(served.address, "signs")
        known = {"authorization": "Bearer 0123456789abcdef"}
        server = RunningServer(served.address, "signs", headers=known)
        assert server.states() == {1: "AVAILABLE"}
        server.wait_until_labelled("stable", 1)
        place = Place(served.base_path, served.address, headers=known)
        assert [version.state for version in versions(place)] == ["AVAILABLE"]
    finally:
        served.close()
