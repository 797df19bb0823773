"""Reloads of a real server under load: models, versions and labels move, no request fails."""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable

import grpc
import numpy as np
import pytest

from model_server.process import ServerProcess
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


def test_reloads_without_a_failed_request(tmp_path, push):
    signs, second = tmp_path / "signs", tmp_path / "second"
    push(signs, 1)
    push(second, 7)
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"this is no model")
    with ServerProcess(signs) as server, grpc.insecure_channel(server.address) as channel:
        stub = protos.ModelServiceStub(channel)

        def reload(*models: dict) -> None:
            request = protos.ReloadConfigRequest()
            for model in models:
                request.config.model_config_list.config.add(model_platform="tensorflow", **model)
            stub.HandleReloadConfigRequest(request, timeout=WAIT_S)

        def states(name: str) -> dict[int, str]:
            request = protos.GetModelStatusRequest(model_spec={"name": name})
            statuses = stub.GetModelStatus(request, timeout=WAIT_S).model_version_status
            name_of = protos.ModelVersionStatus.State.Name
            return {status.version: name_of(status.state) for status in statuses}

        def signs_config(**labels: int) -> dict:
            policy = {"all": {}}
            return {
                "name": "signs",
                "base_path": str(signs),
                "model_version_policy": policy,
                "version_labels": labels,
            }

        other = {"name": "second", "base_path": str(second)}
        load = Load(server.address)
        try:
            # A second model, and a label: both answer as soon as the reload returns.
            load.ask(name="signs")
            reload(signs_config(stable=1), other)
            load.ask(name="second")
            load.ask(name="signs", version_label="stable")
            # A new version beside the old one; the label follows when it is told to.
            push(signs, 2)
            eventually(lambda: states("signs") == {1: "AVAILABLE", 2: "AVAILABLE"})
            reload(signs_config(stable=2, canary=2), other)
            eventually(lambda: load.versions["stable", 2] > 0)
            # A broken model and an impossible label disturb nobody.
            broken = {"name": "broken", "base_path": str(tmp_path / "broken")}
            with pytest.raises(grpc.RpcError) as caught:
                reload(signs_config(stable=2), other, broken)
            assert caught.value.code() is grpc.StatusCode.UNKNOWN
            assert caught.value.details().startswith(
                "1 model(s) did not become available: {{{name: broken version: 1} due to error: "
            )
            with pytest.raises(grpc.RpcError) as caught:
                reload(signs_config(stable=999), other)
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            # Versions go one by one, and the second model rolls forward and back.
            shutil.rmtree(signs / "1")
            push(second, 8)
            eventually(lambda: states("signs") == {1: "END", 2: "AVAILABLE"})
            eventually(lambda: states("second") == {7: "END", 8: "AVAILABLE"})
            shutil.rmtree(second / "8")
            eventually(lambda: states("second") == {7: "AVAILABLE", 8: "END"})
            reload(signs_config(stable=2), other)
        finally:
            load.stop()
        assert load.failures == []
        assert load.versions["stable", 1] and load.versions["stable", 2]
        assert set(load.versions) == {
            ("signs", 1),
            ("signs", 2),
            ("stable", 1),
            ("stable", 2),
            ("second", 7),
            ("second", 8),
        }
        assert sum(load.versions.values()) > 100
