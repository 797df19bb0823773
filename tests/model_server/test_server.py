"""The server as a whole, in this process: what the flags switch on, and why it does not start."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import urllib3

from model_server.flags import parse
from model_server.options import StartError
from model_server.process import free_port
from model_server.server import ModelServer
from serving.request_log import read_log
from signs import protos, tensors

WAIT_S = 60


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def running(*flags: str) -> Iterator[SimpleNamespace]:
    """A server that is started with these flags; its stubs and its REST port."""
    port, rest_port = free_port(), free_port()
    own = [f"--port={port}", f"--rest_api_port={rest_port}", "--max_num_load_retries=0"]
    options, unknown = parse([*own, *flags])
    assert unknown == []
    options.check()
    server = ModelServer(options, threading.Event())
    try:
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, urllib3.PoolManager() as http:
            yield SimpleNamespace(
                predict=protos.PredictionServiceStub(channel).Predict,
                status=protos.ModelServiceStub(channel).GetModelStatus,
                reload=protos.ModelServiceStub(channel).HandleReloadConfigRequest,
                http=lambda method, path, body=None: http.request(
                    method, f"http://127.0.0.1:{rest_port}{path}", json=body, timeout=WAIT_S
                ),
            )
    finally:
        assert server.stop()


def start_error(*flags: str) -> str:
    with pytest.raises(StartError) as caught, running(*flags):
        pass
    return str(caught.value)


def addition(model: str, rows: int = 1, **spec: object) -> protos.PredictRequest:
    request = protos.PredictRequest(model_spec={"name": model, "signature_name": "add", **spec})
    tensors.encode(np.ones((rows, 2), np.float32), request.inputs["a"])
    tensors.encode(np.ones((rows, 2), np.int32), request.inputs["b"])
    return request


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()


def states(server: SimpleNamespace, model: str) -> dict[int, str]:
    answer = server.status(protos.GetModelStatusRequest(model_spec={"name": model}))
    return {
        told.version: protos.ModelVersionStatus.State.Name(told.state)
        for told in answer.model_version_status
    }


@pytest.fixture
def base_path(saved_model: Path, tmp_path: Path) -> Path:
    """A base path with version 1."""
    shutil.copytree(saved_model, tmp_path / "base" / "1")
    return tmp_path / "base"


def test_everything_at_once(base_path, tmp_path):
    (tmp_path / "batching.txt").write_text("max_batch_size { value: 2 }")
    (tmp_path / "monitoring.txt").write_text("prometheus_config { enable: true path: '/seen' }")
    (tmp_path / "session.txt").write_text("intra_op_parallelism_threads: 1")
    with running(
        "--model_name=m",
        f"--model_base_path={base_path}",
        "--enable_batching",
        f"--batching_parameters_file={tmp_path / 'batching.txt'}",
        f"--monitoring_config_file={tmp_path / 'monitoring.txt'}",
        f"--tensorflow_session_config_file={tmp_path / 'session.txt'}",
        "--enable_serialization_as_tensor_content",
        "--rest_api_enable_cors_support",
        "--enable_page",
        f"--request_log_path={tmp_path / 'log'}",
    ) as server:
        answer = server.predict(addition("m"), timeout=WAIT_S)
        total = np.frombuffer(answer.outputs["sum"].tensor_content, np.float32)
        assert total.tolist() == [2.0, 2.0]
        assert refusal(lambda: server.predict(addition("m", rows=3), timeout=WAIT_S)) == (
            "INVALID_ARGUMENT",
            "Task size 3 is larger than maximum input batch size 2",
        )
        body = {"signature_name": "add", "inputs": {"a": [[1, 2]], "b": [[3, 4]]}}
        reply = server.http("POST", "/v1/models/m:predict", body)
        assert reply.status == 200
        assert reply.json()["outputs"]["sum"] == [[4.0, 6.0]]
        assert reply.headers["access-control-allow-origin"] == "*"
        assert server.http("GET", "/").headers["content-type"] == "text/html; charset=utf-8"
        metrics = server.http("GET", "/seen").data.decode()
        for line in (
            ':tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 1',
            ':tensorflow:serving:request_count{model_name="m",status="OK"} 2',
            f':tensorflow:cc:saved_model:load_attempt_count{{model_path="{base_path}/1",'
            'status="success"} 1',
            ":tensorflow:serving:batching_session:wrapped_run_count{} 2",
        ):
            assert line in metrics.splitlines()
    # Over gRPC and over REST.
    records = [record for file in sorted((tmp_path / "log").iterdir()) for record in read_log(file)]
    assert [record.predict_log.request.model_spec.name for record in records] == ["m", "m"]


def test_models_and_labels_from_a_file_that_is_polled(base_path, saved_model, tmp_path):
    file = tmp_path / "models.txt"

    def write(*models: str) -> None:
        entries = " ".join(f"config {{ {model} }}" for model in models)
        aside = tmp_path / "aside"
        aside.write_text(f"model_config_list {{ {entries} }}")
        aside.rename(file)

    path = f'base_path: "{base_path}" model_platform: "tensorflow"'
    write(f'name: "a" {path}', f'name: "b" {path}')
    with running(
        f"--model_config_file={file}",
        "--model_config_file_poll_wait_seconds=1",
        "--model_name=ignored",
        "--enable_page",
    ) as server:
        assert server.predict(addition("a"), timeout=WAIT_S).model_spec.version.value == 1
        assert server.predict(addition("b"), timeout=WAIT_S).model_spec.version.value == 1
        assert refusal(lambda: server.predict(addition("ignored"), timeout=WAIT_S)) == (
            "NOT_FOUND",
            "Servable not found for request: Latest(ignored)",
        )
        # The page is the first model's.
        assert b"ignored" not in server.http("GET", "/").data
        # A label, and a model less; what cannot be read meanwhile changes nothing.
        file.write_text("nonsense")
        time.sleep(1.1)
        write(f'name: "a" {path} version_labels {{ key: "stable" value: 1 }}')
        eventually(lambda: states(server, "b") == {1: "END"})
        labelled = addition("a", version_label="stable")
        assert server.predict(labelled, timeout=WAIT_S).model_spec.version.value == 1
        # What a reload over gRPC changes, the file changes back. (With the label it could not: a
        # label needs a version that is available.)
        write(f'name: "a" {path}')
        config = protos.ReloadConfigRequest()
        config.config.model_config_list.SetInParent()
        assert server.reload(config, timeout=WAIT_S).status.error_code == 0
        eventually(lambda: states(server, "a") == {1: "AVAILABLE"})


def test_a_server_without_models(tmp_path):
    file = tmp_path / "models.txt"
    file.write_text("# later\n")
    with running(f"--model_config_file={file}") as server:
        assert refusal(lambda: server.predict(addition("a", version_label="x"))) == (
            "UNAVAILABLE",
            "Model labels does not init yet.x",
        )


def test_an_unknown_mixed_precision_is_told_and_changes_nothing(base_path, caplog):
    with running(f"--model_base_path={base_path}", "--mixed_precision=int8") as server:
        assert server.predict(addition("default"), timeout=WAIT_S).outputs
    assert "int8 auto mixed precision is not supported. Valid option: bfloat16" in caplog.text


def test_method_names_are_checked_where_asked_for(base_path):
    body = {"signature_name": "add", "examples": [{"a": 1.0}]}
    for flags, text in [
        ([], "Expected one input Tensor."),
        (
            ["--enable_signature_method_name_check"],
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/predict",
        ),
    ]:
        with running(f"--model_base_path={base_path}", *flags) as server:
            reply = server.http("POST", "/v1/models/default:classify", body)
            assert reply.json() == {"error": text}


def test_why_it_does_not_start(base_path, tmp_path):
    base = f"--model_base_path={base_path}"
    missing = tmp_path / "missing"
    empty = tmp_path / "empty"
    empty.touch()
    none = tmp_path / "none.txt"
    none.write_text("num_batch_threads { value: 0 }")
    for flags, error in [
        (
            ["--model_base_path=relative"],
            "INVALID_ARGUMENT: Expected model default to have an absolute path or URI; got "
            "base_path()=relative",
        ),
        ([f"--model_config_file={missing}"], f"NOT_FOUND: {missing}; No such file or directory"),
        ([f"--model_config_file={empty}"], f"INVALID_ARGUMENT: {empty}; Invalid argument"),
        (
            [base, "--enable_batching", f"--batching_parameters_file={missing}"],
            f"NOT_FOUND: {missing}; No such file or directory",
        ),
        (
            [base, "--enable_batching", f"--batching_parameters_file={none}"],
            "INVALID_ARGUMENT: num_batch_threads must be positive; was 0",
        ),
        (
            [base, f"--tensorflow_session_config_file={none}"],
            f"INVALID_ARGUMENT: Invalid protobuf file: '{none}'",
        ),
        (
            [base, f"--ssl_config_file={missing}"],
            f"NOT_FOUND: {missing}; No such file or directory",
        ),
        (
            [base, f"--request_log_path={empty}/log"],
            f"FAILED_PRECONDITION: --request_log_path: [Errno 20] Not a directory: '{empty}/log'",
        ),
        (
            [base, "--saved_model_tags=serve,gpu"],
            "UNKNOWN: 1 servable(s) did not become available: {{{name: default version: 1} due to "
            "error: NOT_FOUND: Could not find meta graph def matching supplied tags: { serve gpu }."
            " To inspect available tag-sets in the SavedModel, please use the SavedModel CLI: "
            "`saved_model_cli`}, }",
        ),
    ]:
        assert start_error(*flags) == error


def test_labels_at_the_start_need_their_flag(base_path, tmp_path):
    file = tmp_path / "models.txt"
    file.write_text(
        f'model_config_list {{ config {{ name: "a" base_path: "{base_path}" '
        'model_platform: "tensorflow" version_labels { key: "x" value: 1 } } }'
    )
    assert start_error(f"--model_config_file={file}") == (
        "FAILED_PRECONDITION: Request to assign label to version 1 of model a, which is not "
        "currently available for inference"
    )
    flag = "--allow_version_labels_for_unavailable_models"
    with running(f"--model_config_file={file}", flag) as server:
        labelled = addition("a", version_label="x")
        assert server.predict(labelled, timeout=WAIT_S).model_spec.version.value == 1


@pytest.mark.parametrize("hindrance", ["monitoring", "taken", "same", "range"])
def test_what_hinders_rest_does_not_hinder_grpc(base_path, tmp_path, caplog, hindrance):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        port = free_port()
        flags, reason = {
            "monitoring": (
                [
                    f"--rest_api_port={free_port()}",
                    f"--monitoring_config_file={tmp_path / 'no'}",
                ],
                f"{tmp_path / 'no'}; No such file or directory",
            ),
            "taken": (
                [f"--rest_api_port={taken}"],
                f"Failed to start HTTP Server at localhost:{taken}: ",
            ),
            "same": (
                [f"--port={port}", f"--rest_api_port={port}"],
                "server_options.http_port cannot be same as grpc_port. Please use a different port "
                "for HTTP/REST API. Skipped exporting HTTP/REST API.",
            ),
            "range": (
                ["--rest_api_port=65536"],
                "Failed to start HTTP Server at localhost:65536: ",
            ),
        }[hindrance]
        options, _ = parse([f"--model_base_path={base_path}", f"--port={port}", *flags])
        server = ModelServer(options, threading.Event())
        try:
            server.start()
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                predict = protos.PredictionServiceStub(channel).Predict
                assert predict(addition("default"), timeout=WAIT_S).outputs
        finally:
            assert server.stop()
    assert reason in caplog.text


def test_it_can_be_stopped_while_it_waits_for_a_model(tmp_path):
    stopping = threading.Event()
    options, _ = parse([f"--model_base_path={tmp_path / 'later'}", f"--port={free_port()}"])
    server = ModelServer(options, stopping)
    starting = threading.Thread(target=server.start)
    starting.start()
    time.sleep(0.5)
    assert starting.is_alive()
    stopping.set()
    starting.join(WAIT_S)
    assert not starting.is_alive()
    assert server.stop()
