"""What the flags make of a version's folder: plain or batched, warmed up, with which session."""

import shutil

import numpy as np
import pytest

from model_server.batching.batched_model import BatchedModel
from model_server.errors import RequestError
from model_server.inference.options import InferenceOptions
from model_server.loading.loader import Loader
from model_server.loading.saved_model import SavedModel
from model_server.loading.warm_up import REQUESTS_FILE
from model_server.metrics import Metrics
from model_server.options import ServerOptions


@pytest.fixture
def version(half_plus_two, tmp_path):
    return shutil.copytree(half_plus_two, tmp_path / "1")


def load(version, **flags):
    loader = Loader(ServerOptions(**flags), InferenceOptions(), Metrics())
    model = loader("m", version)
    try:
        assert model.run({"x:0": np.float32([2, 4])}, ["y:0"])[0].tolist() == [3.0, 4.0]
        return type(model)
    finally:
        model.close()
        assert loader.close()


def test_batching_is_a_flag(version):
    assert load(version) is SavedModel
    assert load(version, enable_batching=True) is BatchedModel


def test_parameters_of_each_version(version):
    """One without a file is not batched; what a file says holds, and a wrong one fails the load."""
    flags = {"enable_batching": True, "enable_per_model_batching_parameters": True}
    assert load(version, **flags) is SavedModel
    parameters = version / "batching_params.pbtxt"
    for text, error in (
        ("max_batch_size { value: 1 }", "Task size 2 is larger than maximum input batch size 1"),
        ("max_batch_size: 2", f"Invalid protobuf file: '{parameters}'"),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; "
            "expected 8",
        ),
    ):
        parameters.write_text(text)
        with pytest.raises(RequestError) as caught:
            load(version, **flags)
        assert str(caught.value) == error


def test_a_version_says_by_its_requests_what_to_make_ready(version, monkeypatch):
    made = []
    monkeypatch.setattr(SavedModel, "_prepare", lambda self, *plan: made.append(plan))
    load(version)
    assert len(made) > 1
    made.clear()
    (version / REQUESTS_FILE).parent.mkdir()
    (version / REQUESTS_FILE).touch()
    load(version)
    assert made == []


def test_a_warm_up_that_fails_fails_the_load(version):
    (version / REQUESTS_FILE).parent.mkdir()
    (version / REQUESTS_FILE).write_bytes(b"this is no TFRecord file")
    with pytest.raises(RequestError, match="verify your warmup data"):
        load(version)
    assert load(version, enable_model_warmup=False) is SavedModel


def test_files_of_flags_are_read_before_any_model(tmp_path):
    for flag, batching in (
        ("batching_parameters_file", True),
        ("tensorflow_session_config_file", False),
    ):
        options = ServerOptions(enable_batching=batching, **{flag: str(tmp_path / "missing")})
        with pytest.raises(RequestError, match="missing; No such file or directory"):
            Loader(options, InferenceOptions(), Metrics())


def test_a_load_is_counted_whether_or_not_it_succeeds(version, tmp_path):
    metrics = Metrics()
    loader = Loader(ServerOptions(), InferenceOptions(), metrics)
    loader("m", version).close()
    with pytest.raises(RequestError, match="does not appear to contain a SavedModel"):
        loader("m", tmp_path / "2")
    page = metrics.render().decode()
    assert f'model_path="{version}",status="success"}} 1' in page
    assert f'model_path="{tmp_path / "2"}",status="fail"}} 1' in page
