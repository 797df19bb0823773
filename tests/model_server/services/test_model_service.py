"""ModelService's answers; the models are stand-ins, reached without gRPC."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_server.errors import RequestError
from model_server.metrics import Metrics
from model_server.services.model_service import ModelService
from model_server.versions.model_store import LoadPolicy
from model_server.versions.models import Models
from signs import protos
from tests.model_server.stand_in import WAIT_S, Loaded, eventually, put


class Served:
    """Models behind a ModelService, and folders to put versions in."""

    def __init__(self, folder: Path) -> None:
        self.base = folder / "m"
        self.metrics = Metrics()
        policy = LoadPolicy(poll_wait_s=0.02, max_retries=0)
        self.models = Models(lambda name, path: Loaded(path), policy)
        self.models.start()
        self.service = ModelService(self.models, self.metrics)

    def reload(self, **options):
        request = protos.ReloadConfigRequest(**options)
        request.config.model_config_list.SetInParent()
        return self.service.handle_reload_config(request, time.monotonic() + WAIT_S)

    def serve(self) -> None:
        self.reload(config={"model_config_list": {"config": [self.config()]}})

    def config(self, **fields):
        return {
            "name": "m",
            "base_path": str(self.base),
            "model_platform": "tensorflow",
            **fields,
        }

    def status(self, **spec) -> list[tuple[int, str, int, str]]:
        request = protos.GetModelStatusRequest(model_spec={"name": "m", **spec})
        response = self.service.get_model_status(request)
        assert all(s.HasField("status") for s in response.model_version_status)
        return [
            (
                s.version,
                protos.ModelVersionStatus.State.Name(s.state),
                s.status.error_code,
                s.status.error_message,
            )
            for s in response.model_version_status
        ]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    assert served.models.stop(WAIT_S)


def refusal(call) -> str:
    with pytest.raises(RequestError) as caught:
        call()
    return f"{caught.value.code.name}: {caught.value}"


# --- GetModelStatus -------------------------------------------------------------------------------


def test_status_of_every_version_newest_first(served):
    put(served.base, 1)
    served.serve()
    assert served.status() == [(1, "AVAILABLE", 0, "")]
    put(served.base, 2)
    eventually(lambda: served.status() == [(2, "AVAILABLE", 0, ""), (1, "END", 0, "")])
    put(served.base, 10, "broken")
    failed = (10, "END", 15, "Can't parse it")
    eventually(lambda: served.status() == [failed, (2, "AVAILABLE", 0, ""), (1, "END", 0, "")])
    # One version only; a label or a signature chooses none.
    assert served.status(version={"value": 10}) == [failed]
    assert len(served.status(version_label="x", signature_name="y")) == 3
    # What is served no more is told for ever.
    served.reload()
    eventually(lambda: served.status() == [failed, (2, "END", 0, ""), (1, "END", 0, "")])


def test_status_messages_are_not_cut(served):
    def fail(name: str, path: Path) -> Loaded:
        raise RuntimeError("x" * 2000)

    models = Models(fail, LoadPolicy(max_retries=0))
    models.start()
    served.service = ModelService(models, served.metrics)
    put(served.base, 1)
    assert len(refusal(served.serve)) > 2000
    assert served.status() == [(1, "END", 2, f"RuntimeError: {'x' * 2000}")]


def test_status_of_what_is_not_there(served):
    put(served.base, 1)
    served.serve()
    for spec, text in [
        ({"name": ""}, "Could not find any versions of model "),
        ({"name": "zz"}, "Could not find any versions of model zz"),
        ({"name": "m", "version": {"value": 9}}, "Could not find version 9 of model m"),
        ({"name": "m", "version": {}}, "Could not find version 0 of model m"),
        ({"name": "zz", "version": {"value": 1}}, "Could not find version 1 of model zz"),
    ]:
        assert refusal(lambda spec=spec: served.status(**spec)) == f"NOT_FOUND: {text}"
    request = protos.GetModelStatusRequest()
    assert (
        refusal(lambda: served.service.get_model_status(request))
        == "INVALID_ARGUMENT: Missing ModelSpec"
    )


# --- HandleReloadConfigRequest --------------------------------------------------------------------


@pytest.mark.parametrize("config", [{}, {"custom_model_config": {}}])
def test_only_lists_are_taken(served, config):
    request = protos.ReloadConfigRequest(config=config)
    assert refusal(lambda: served.service.handle_reload_config(request)) == (
        "INVALID_ARGUMENT: ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
        "ModelConfigList is currently supported"
    )


def test_reload_answers_ok(served):
    put(served.base, 1)
    models = {"model_config_list": {"config": [served.config()]}}
    response = served.reload(config=models)
    assert response.HasField("status")
    assert (response.status.error_code, response.status.error_message) == (0, "")
    assert not response.metric
    assert served.status() == [(1, "AVAILABLE", 0, "")]


def test_reload_passes_refusals_and_its_deadline_on(served):
    request = protos.ReloadConfigRequest()
    request.config.model_config_list.config.add(**served.config(base_path="rel"))
    assert refusal(lambda: served.service.handle_reload_config(request)) == (
        "INVALID_ARGUMENT: Expected model m to have an absolute path or URI; got base_path()=rel"
    )
    request.config.model_config_list.config[0].base_path = "/missing"
    deadline = time.monotonic() + 0.3
    assert refusal(lambda: served.service.handle_reload_config(request, deadline)) == (
        "DEADLINE_EXCEEDED: No version became available of: m"
    )


def test_reload_tells_by_how_much_metrics_grew(served):
    requests, unknown = "/tensorflow/serving/request_count", "/tensorflow/serving/nope"
    served.metrics.request_ended("m", "OK")
    models = {"model_config_list": {"config": [served.config()]}}

    def while_it_waits() -> None:
        for _ in range(3):
            served.metrics.request_ended("m", "OK")
        put(served.base, 1)

    threading.Timer(0.1, while_it_waits).start()
    response = served.reload(config=models, metric_names=[requests, unknown, unknown])
    assert [(metric.name, metric.int64_value_increase) for metric in response.metric] == [
        (requests, 3),
        (unknown, 0),
    ]
    assert all(metric.HasField("int64_value_increase") for metric in response.metric)
