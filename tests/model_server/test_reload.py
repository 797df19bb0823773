"""Reloads of a real server under load: models, versions and labels move, no request fails."""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from model_server import ServerProcess
from signs import protos, tensors
from tests.served import GREEN

WAIT_S = 120


class Load:
    """Threads that ask a server without a pause; what was answered, and every failure."""

    def __init__(self, address: str) -> None:
        self.versions: Counter[tuple[str, int]] = Counter()
        self.failures: list[str] = []
        self._address = address
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def ask(self, **spec) -> None:
        """One more thread that asks for this ModelSpec."""
        self._threads.append(threading.Thread(target=self._run, args=[spec]))
        self._threads[-1].start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, spec) -> None:
        request = protos.PredictRequest(model_spec={"signature_name": "serve_images", **spec})
        encoded = np.empty(1, object)
        encoded[0] = GREEN
        tensors.encode(encoded, request.inputs["image_bytes"])
        asked = spec.get("version_label", spec["name"])
        with grpc.insecure_channel(self._address) as channel:
            predict = protos.PredictionServiceStub(channel).Predict
            while not self._stop.is_set():
                try:
                    response = predict(request, timeout=WAIT_S)
                    assert response.outputs["class_name"].string_val[0] == b"green"
                    self.versions[asked, response.model_spec.version.value] += 1
                except Exception as error:
                    self.failures.append(f"{asked}: {error}")


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


class Reloaded:
    """The server that both tests reload: what is served, and what it says of it."""

    def __init__(self, address: str, stub: protos.ModelServiceStub) -> None:
        self.address = address
        self._stub = stub

    def reload(self, *models: dict) -> None:
        """Serves these ModelConfigs and no others."""
        request = protos.ReloadConfigRequest()
        for model in models:
            request.config.model_config_list.config.add(model_platform="tensorflow", **model)
        self._stub.HandleReloadConfigRequest(request, timeout=WAIT_S)

    def statuses(self, name: str) -> list[protos.ModelVersionStatus]:
        request = protos.GetModelStatusRequest(model_spec={"name": name})
        return list(self._stub.GetModelStatus(request, timeout=WAIT_S).model_version_status)

    def states(self, name: str) -> dict[int, str]:
        name_of = protos.ModelVersionStatus.State.Name
        return {status.version: name_of(status.state) for status in self.statuses(name)}


@pytest.fixture(scope="module")
def server(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloaded]:
    base_path = tmp_path_factory.mktemp("signs")
    (base_path / "1").symlink_to(saved_model)
    with ServerProcess(base_path) as running, grpc.insecure_channel(running.address) as channel:
        yield Reloaded(running.address, protos.ModelServiceStub(channel))


def test_versions_come_break_and_go_without_a_failed_request(server, tmp_path, push):
    push(tmp_path, 1)
    server.reload({"name": "rolled", "base_path": str(tmp_path)})
    load = Load(server.address)
    try:
        for _ in range(3):
            load.ask(name="rolled")
        # A newer version takes over.
        push(tmp_path, 2)
        eventually(lambda: server.states("rolled") == {1: "END", 2: "AVAILABLE"})
        # One that is still being copied is left alone.
        (tmp_path / "3" / "variables").mkdir(parents=True)
        # One that is broken ends with its reason.
        (tmp_path / "4").mkdir()
        (tmp_path / "4" / "saved_model.pb").write_bytes(b"this is no model")
        eventually(lambda: server.states("rolled") == {1: "END", 2: "AVAILABLE", 4: "END"})
        assert "saved_model.pb" in server.statuses("rolled")[0].status.error_message
        # A good one ends the trouble, and taking it away rolls back.
        push(tmp_path, 5)
        eventually(lambda: server.states("rolled").get(5) == "AVAILABLE")
        eventually(lambda: load.versions["rolled", 5] > 0)
        for version in ("3", "4", "5"):
            shutil.rmtree(tmp_path / version)
        eventually(
            lambda: (
                server.states("rolled")[2] == "AVAILABLE" and server.states("rolled")[5] == "END"
            )
        )
        before = load.versions["rolled", 2]
        eventually(lambda: load.versions["rolled", 2] > before)
    finally:
        load.stop()
    assert load.failures == []
    assert set(load.versions) == {("rolled", 1), ("rolled", 2), ("rolled", 5)}
    assert sum(load.versions.values()) > 100


def test_models_and_labels_move_without_a_failed_request(server, tmp_path, push):
    first, second = tmp_path / "first", tmp_path / "second"
    push(first, 1)
    push(second, 7)
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"this is no model")

    def first_config(**labels: int) -> dict:
        policy = {"all": {}}
        return {
            "name": "first",
            "base_path": str(first),
            "model_version_policy": policy,
            "version_labels": labels,
        }

    other = {"name": "second", "base_path": str(second)}
    server.reload(first_config())
    load = Load(server.address)
    try:
        # A second model, and a label: both answer as soon as the reload returns.
        load.ask(name="first")
        server.reload(first_config(stable=1), other)
        load.ask(name="second")
        load.ask(name="first", version_label="stable")
        # A new version beside the old one; the label follows when it is told to.
        push(first, 2)
        eventually(lambda: server.states("first") == {1: "AVAILABLE", 2: "AVAILABLE"})
        server.reload(first_config(stable=2, canary=2), other)
        eventually(lambda: load.versions["stable", 2] > 0)
        # A broken model and an impossible label disturb nobody.
        broken = {"name": "broken", "base_path": str(tmp_path / "broken")}
        with pytest.raises(grpc.RpcError) as caught:
            server.reload(first_config(stable=2), other, broken)
        assert caught.value.code() is grpc.StatusCode.UNKNOWN
        assert caught.value.details().startswith(
            "1 model(s) did not become available: {{{name: broken version: 1} due to error: "
        )
        with pytest.raises(grpc.RpcError) as caught:
            server.reload(first_config(stable=999), other)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        # Versions go one by one, and the second model rolls forward and back.
        shutil.rmtree(first / "1")
        push(second, 8)
        eventually(lambda: server.states("first") == {1: "END", 2: "AVAILABLE"})
        eventually(lambda: server.states("second") == {7: "END", 8: "AVAILABLE"})
        shutil.rmtree(second / "8")
        eventually(lambda: server.states("second") == {7: "AVAILABLE", 8: "END"})
        server.reload(first_config(stable=2), other)
    finally:
        load.stop()
    assert load.failures == []
    assert load.versions["stable", 1] and load.versions["stable", 2]
    assert set(load.versions) == {
        ("first", 1),
        ("first", 2),
        ("stable", 1),
        ("stable", 2),
        ("second", 7),
        ("second", 8),
    }
    assert sum(load.versions.values()) > 100
