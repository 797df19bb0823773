"""What is logged of the requests that PredictionService answers; a stand-in model answers."""

from contextlib import contextmanager

import numpy as np
import pytest

from model_server.errors import NotFoundError
from model_server.servable import Lease
from model_server.services.prediction_service import PredictionService
from signs import protos, tensors


class Doubles:
    """A model y = 2x of tensors x:0 and y:0."""

    def __init__(self) -> None:
        info = {"x": {"name": "x:0"}}, {"y": {"name": "y:0"}}
        signatures = protos.SignatureDefMap()
        for side, infos in zip(("inputs", "outputs"), info, strict=True):
            for alias, values in infos.items():
                fields = getattr(signatures.signature_def["serving_default"], side)
                fields[alias].name = values["name"]
        self.signature_defs = dict(signatures.signature_def)

    def run(self, feeds, fetches, deadline=None):
        return [feeds["x:0"] * 2 for _ in fetches]


class Models:
    @contextmanager
    def lease(self, spec):
        if spec.name != "m":
            raise NotFoundError(f"Servable not found for request: Latest({spec.name})")
        yield Lease(7, Doubles())


class Log:
    def __init__(self) -> None:
        self.recorded: list = []

    def record(self, request, response) -> None:
        self.recorded.append((request, response))


def request(name: str, dtype=np.float32):
    message = protos.PredictRequest(model_spec={"name": name})
    tensors.encode(np.ones(2, dtype), message.inputs["x"])
    return message


def test_what_was_answered_is_logged_with_its_answer():
    log = Log()
    service = PredictionService(Models(), request_log=log)
    asked = request("m")
    answered = service.predict(asked)
    assert list(answered.outputs["y"].float_val) == [2, 2]
    assert log.recorded == [(asked, answered)]


def test_what_was_refused_is_not():
    log = Log()
    service = PredictionService(Models(), request_log=log)
    with pytest.raises(NotFoundError, match=r"Latest\(n\)"):
        service.predict(request("n"))
    assert log.recorded == []
