"""Warm-up files: what is run, and what fails a load; the model adds one to what it is fed."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from model_server.errors import RequestError
from model_server.inference.options import InferenceOptions
from model_server.loading.warm_up import REQUESTS_FILE, warm_up
from model_server.metrics import Metrics
from signs import protos, records, tensors

SIGNATURES = """
signature_def { key: "serving_default" value {
  inputs { key: "x" value { name: "x:0" dtype: DT_FLOAT } }
  outputs { key: "y" value { name: "y:0" dtype: DT_FLOAT } } } }
signature_def { key: "classify" value {
  inputs { key: "inputs" value { name: "examples:0" dtype: DT_STRING } }
  outputs { key: "scores" value { name: "scores:0" dtype: DT_FLOAT } } } }
signature_def { key: "regress" value {
  inputs { key: "inputs" value { name: "examples:0" dtype: DT_STRING } }
  outputs { key: "outputs" value { name: "outputs:0" dtype: DT_FLOAT } } } }
"""
ONE_EXAMPLE = "example_list { examples {} }"
CLASSIFY = f'model_spec {{ signature_name: "classify" }} input {{ {ONE_EXAMPLE} }}'
REGRESS = f'model_spec {{ signature_name: "regress" }} input {{ {ONE_EXAMPLE} }}'


class Adder:
    """Answers every signature, and notes what was fetched."""

    def __init__(self) -> None:
        signatures = text_format.Parse(SIGNATURES, protos.SignatureDefMap())
        self.signature_defs = dict(signatures.signature_def)
        self.fetched: list[str] = []

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        deadline: float | None = None,
    ) -> list[np.ndarray]:
        assert deadline is None
        self.fetched += fetches
        answers = {
            "y:0": feeds.get("x:0", np.zeros(1, np.float32)) + 1,
            "scores:0": np.zeros([1, 2], np.float32),
            "outputs:0": np.zeros([1], np.float32),
        }
        return [answers[name] for name in fetches]

    def close(self) -> None:
        """Nothing to free."""


def predict_log(signature: str = "") -> bytes:
    log = protos.PredictionLog()
    request = log.predict_log.request
    # Another model and version: neither is looked at.
    request.model_spec.name, request.model_spec.version.value = "zz", 99
    request.model_spec.signature_name = signature
    tensors.encode(np.zeros(1, np.float32), request.inputs["x"])
    return log.SerializeToString()


def log(text: str) -> bytes:
    return text_format.Parse(text, protos.PredictionLog()).SerializeToString()


@pytest.fixture
def version_dir(tmp_path: Path) -> Path:
    (tmp_path / "007" / REQUESTS_FILE.parent).mkdir(parents=True)
    return tmp_path / "007"


def write(version_dir: Path, *entries: bytes) -> Path:
    path = version_dir / REQUESTS_FILE
    path.write_bytes(b"".join(records.encode(entry) for entry in entries))
    return path


def run(version_dir: Path, **options) -> list[str]:
    """What the model was asked for."""
    adder = Adder()
    given = {"options": InferenceOptions(), "iterations": 1, "metrics": Metrics(), **options}
    warm_up(adder, version_dir, **given)
    return adder.fetched


def failure(version_dir: Path, **options) -> str:
    with pytest.raises(RequestError) as caught:
        run(version_dir, **options)
    return f"{caught.value.code.name}: {caught.value}"


def test_path_of_the_file():
    assert str(REQUESTS_FILE) == "assets.extra/tf_serving_warmup_requests"


def test_no_file(version_dir, caplog):
    caplog.set_level(logging.INFO)
    assert run(version_dir) == []
    assert f"No warmup data file found at {version_dir / REQUESTS_FILE}" in caplog.text


def test_the_log_tells_how_many_were_read(version_dir, caplog):
    caplog.set_level(logging.INFO)
    path = write(version_dir, predict_log(), predict_log())
    run(version_dir, iterations=3)
    assert (
        f"Finished reading warmup data for model at {path}. Number of warmup records read: 2. "
        "Elapsed time (microseconds): "
    ) in caplog.text


def test_every_kind_is_run_in_order(version_dir):
    tasks = (
        'tasks { model_spec { name: "a" signature_name: "classify" } '
        'method_name: "tensorflow/serving/classify" } '
        'tasks { model_spec { name: "a" signature_name: "regress" } '
        'method_name: "tensorflow/serving/regress" }'
    )
    write(
        version_dir,
        predict_log(),
        log(f"classify_log {{ request {{ {CLASSIFY} }} }}"),
        log(f"regress_log {{ request {{ {REGRESS} }} }}"),
        log(f"multi_inference_log {{ request {{ {tasks} input {{ {ONE_EXAMPLE} }} }} }}"),
        log('log_metadata { model_spec { name: "only" } }'),
        b"",
    )
    fetched = run(version_dir)
    assert fetched[:3] == ["y:0", "scores:0", "outputs:0"]
    assert sorted(fetched[3:]) == ["outputs:0", "scores:0"]


@pytest.mark.parametrize(("iterations", "runs"), [(-1, 2), (0, 2), (1, 2), (3, 6)])
def test_iterations(version_dir, iterations, runs):
    write(version_dir, predict_log(), predict_log())
    assert run(version_dir, iterations=iterations) == ["y:0"] * runs


def test_metrics(version_dir):
    write(version_dir, predict_log(), predict_log())
    metrics = Metrics()
    run(version_dir, metrics=metrics)
    assert (
        f':tensorflow:serving:model_warmup_records_read{{model_path="{version_dir}",status="OK"}} 2'
        in metrics.render().decode().splitlines()
    )


@pytest.mark.parametrize("entries", [0, 1000])
def test_a_thousand_records_are_fine(version_dir, entries):
    write(version_dir, *[predict_log()] * entries)
    assert len(run(version_dir)) == entries


def test_a_thousand_and_one_are_too_many(version_dir):
    path = write(version_dir, *[predict_log()] * 1002)
    adder = Adder()
    with pytest.raises(RequestError) as caught:
        warm_up(adder, version_dir, options=InferenceOptions(), iterations=1, metrics=Metrics())
    assert str(caught.value) == f"Number of warmup records exceeds the maximum (1000) at {path}"
    assert caught.value.code.name == "INVALID_ARGUMENT"
    assert len(adder.fetched) == 1001


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (predict_log("x"), 'FAILED_PRECONDITION: Serving signature key "x" not found.'),
        (
            log(f"classify_log {{ request {{ {CLASSIFY} }} }}").replace(b"classify", b"nosuchid"),
            "INVALID_ARGUMENT: No signature was found with the name: nosuchid",
        ),
        (log("session_run_log {}"), "UNIMPLEMENTED: Unsupported log_type for warmup: 5"),
        (log("predict_streamed_log {}"), "UNIMPLEMENTED: Unsupported log_type for warmup: 7"),
    ],
)
def test_requests_that_fail(version_dir, entry, error):
    write(version_dir, entry, predict_log())
    assert failure(version_dir) == error


def test_records_that_are_no_log(version_dir):
    path = write(version_dir, b"\xffgarbage")
    assert (
        failure(version_dir)
        == f"INVALID_ARGUMENT: Failed to parse warmup record: \ufffdgarbage from {path}"
    )


HINT = "Please verify your warmup data is in TFRecord format."


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda whole: b"", None),
        (lambda whole: b"12345678901", None),
        (lambda whole: whole + b"12345678901", None),
        (
            lambda whole: b"123456789012",
            f"corrupted record at 0 (Is this even a TFRecord file?). {HINT}",
        ),
        (lambda whole: whole + b"123456789012", f"corrupted record at {{size}}. {HINT}"),
        (
            lambda whole: whole[:12] + b"!" + whole[13:],
            f"corrupted record at 12. {HINT}",
        ),
        (
            lambda whole: whole[:-1],
            f"truncated record at 0' failed with Read less bytes than requested. {HINT}",
        ),
    ],
)
def test_damaged_files(version_dir, damage, error):
    path = write(version_dir, predict_log())
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    if error is None:
        run(version_dir)
        return
    text = error.format(size=len(whole))
    metrics = Metrics()
    assert failure(version_dir, metrics=metrics) == f"DATA_LOSS: {text}"
    assert f'status="DATA_LOSS: {text.removesuffix(f". {HINT}")}"' in metrics.render().decode()


def test_a_file_that_is_a_folder(version_dir):
    (version_dir / REQUESTS_FILE).mkdir()
    assert failure(version_dir) == f"UNKNOWN: {version_dir / REQUESTS_FILE}; Is a directory"
