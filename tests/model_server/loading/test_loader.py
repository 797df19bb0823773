"""What the flags make of a version's folder: plain or batched, warmed up, with which session."""

import os
import shutil
import tempfile
from pathlib import Path

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
from trust.keys import make_keys
from trust.signature import sign


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


# --- Signed versions ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """Where the private copies go; none is left."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


def test_what_the_key_has_signed_loads(version, keys, copies):
    sign(version, keys[0])
    assert load(version, model_signing_key=str(keys[1])) is SavedModel


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda version: (version / "model.sig").unlink(), "it has no model.sig"),
        (lambda version: (version / "assets.extra").touch(), "extra: assets.extra"),
        (
            lambda version: os.truncate(version / "variables" / "variables.index", 3),
            "altered: variables/variables.index",
        ),
        (lambda version: (version / "x").symlink_to("/etc/passwd"), "x is a link"),
        (lambda version: os.mkfifo(version / "x"), "x is neither a file nor a folder"),
        (shutil.rmtree, "is no folder"),
    ],
)
def test_what_it_has_not_signed_does_not(version, keys, copies, change, why):
    sign(version, keys[0])
    change(version)
    metrics = Metrics()
    loader = Loader(ServerOptions(model_signing_key=str(keys[1])), InferenceOptions(), metrics)
    with pytest.raises(RequestError) as caught:
        loader("m", version)
    assert caught.value.code.name == "FAILED_PRECONDITION"
    assert str(caught.value).startswith(f"--model_signing_key: {version}")
    assert why in str(caught.value)
    assert f'model_path="{version}",status="fail"}} 1' in metrics.render().decode()


def test_what_is_verified_is_what_is_loaded(version, keys, copies, monkeypatch):
    """The version is replaced after its signature was found good, and before it is read."""
    from model_server.loading import loader as module

    sign(version, keys[0])
    real = module.copy_verified

    def then_replace(folder: Path, copy: Path, key: Path) -> None:
        real(folder, copy, key)
        (folder / "saved_model.pb").write_bytes(b"another model")

    monkeypatch.setattr(module, "copy_verified", then_replace)
    assert load(version, model_signing_key=str(keys[1])) is SavedModel
    assert (version / "saved_model.pb").read_bytes() == b"another model"


def test_errors_of_a_signed_version_name_its_own_folder(version, keys, copies):
    (version / "saved_model.pb").write_bytes(b"no protobuf")
    sign(version, keys[0])
    with pytest.raises(RequestError) as caught:
        load(version, model_signing_key=str(keys[1]))
    assert str(caught.value) == f"Can't parse {version}/saved_model.pb as binary proto"


def test_the_flags_are_checked_before_any_model(tmp_path):
    for flag, value, why in (
        ("model_signing_key", str(tmp_path / "missing"), "missing: No such file or directory"),
        ("allowed_ops", "Nothing", "TensorFlow has no operation Nothing"),
    ):
        with pytest.raises(RequestError, match=why):
            Loader(ServerOptions(**{flag: value}), InferenceOptions(), Metrics())
