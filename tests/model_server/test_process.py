"""The life of real server processes: failure, drain, kill, restart."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest

from model_server.process import ServerProcess, ServerProcessError
from signs import protos, tensors
from signs.client import Client, ClientError
from tests.served import GREEN, RED

WAIT_S = 120


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def states(client: Client) -> dict[int, str]:
    return {status.version: status.state for status in client.status()}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_late_base_path_then_drain(tmp_path, push):
    """The port opens when there is a model; SIGTERM lets the request in flight finish."""
    base_path = tmp_path / "later"
    server = ServerProcess(base_path, stop_timeout_s=WAIT_S)

    def push_when_it_waits() -> None:
        eventually(lambda: "Could not find base path" in server.log())
        push(base_path, 1)

    pushing = threading.Thread(target=push_when_it_waits)
    pushing.start()
    assert server.start() == 1
    pushing.join()
    request = protos.PredictRequest(model_spec={"name": "signs", "signature_name": "count"})
    tensors.encode(np.array(400_000, np.int64), request.inputs["n"])
    with grpc.insecure_channel(server.address) as channel:
        call = protos.PredictionServiceStub(channel).Predict.future(request, timeout=WAIT_S)
        time.sleep(0.3)
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(0.1)
        assert not call.done()
        assert is_running(server.pid)
        # While it drains, nothing new is taken.
        with Client(server.address, max_attempts=1) as client, pytest.raises(ClientError) as caught:
            client.predict(RED)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        assert call.result().outputs["counted"].int64_val == [400_000]
    eventually(lambda: not is_running(server.pid))
    assert server.stop() == 0
    assert f" I Running gRPC ModelServer at {server.address} ...\n" in server.log()


def test_memory_of_a_version_is_freed_when_it_goes(tmp_path):
    weight_mb = 150
    save_heavy_model(tmp_path / "1", weight_mb)
    with ServerProcess(tmp_path) as server, Client(server.address) as client:
        process = psutil.Process(server.pid)
        loaded = process.memory_info().rss
        shutil.rmtree(tmp_path / "1")
        eventually(lambda: states(client) == {1: "END"})
        eventually(lambda: loaded - process.memory_info().rss > 0.9 * weight_mb * 2**20)


def save_heavy_model(path: Path, weight_mb: int) -> None:
    import tensorflow as tf

    class Heavy(tf.Module):
        def __init__(self):
            super().__init__()
            self.weight = tf.Variable(tf.ones([weight_mb * 2**18]))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def add(self, x):
            return {"y": x + self.weight[0]}

    model = Heavy()
    tf.saved_model.save(model, str(path), signatures=model.add)


def test_kill_and_restart_on_the_same_port(tmp_path, push):
    push(tmp_path, 7)
    with ServerProcess(tmp_path) as server:
        port = int(server.address.rpartition(":")[2])
        with Client(server.address, timeout_s=WAIT_S, max_attempts=1000) as client:
            assert client.predict(RED)[0].class_name == "red"
            os.kill(server.pid, signal.SIGKILL)
            assert server.stop() == -signal.SIGKILL
            # The client that asks meanwhile gets its answer when the server is back.
            answers = []
            asking = threading.Thread(target=lambda: answers.extend(client.predict(GREEN)))
            asking.start()
            with ServerProcess(tmp_path, port=port):
                asking.join(WAIT_S)
            assert [answer.class_name for answer in answers] == ["green"]


def test_request_that_does_not_end_cannot_stop_a_shutdown(server_for_one_test):
    server = server_for_one_test
    request = protos.PredictRequest(model_spec={"name": "signs", "signature_name": "count"})
    tensors.encode(np.array(2**62, np.int64), request.inputs["n"])
    with grpc.insecure_channel(server.address) as channel:
        call = protos.PredictionServiceStub(channel).Predict.future(request, timeout=WAIT_S)
        time.sleep(0.3)
        started = time.monotonic()
        assert server.stop() == 1  # it gave up by itself, it was not killed
        assert time.monotonic() - started < 12
        assert call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


@pytest.fixture
def server_for_one_test(tmp_path, push):
    push(tmp_path, 1)
    with ServerProcess(tmp_path, stop_timeout_s=1) as server:
        yield server


def test_a_server_that_ends_tells_the_line_that_says_why(tmp_path):
    """Here before it imports TensorFlow; `test_server` has what it says of models."""
    with pytest.raises(ServerProcessError) as caught:
        ServerProcess(tmp_path, flags=["--model_config_file=/nonexistent"]).start()
    assert str(caught.value).splitlines() == [
        f"The model server for {tmp_path} ended with exit code 255.",
        "Failed to start server. Error: NOT_FOUND: /nonexistent; No such file or directory",
    ]


def test_no_model_in_time(tmp_path):
    server = ServerProcess(tmp_path / "nothing", start_timeout_s=0.5)
    with pytest.raises(ServerProcessError) as caught:
        server.start()
    assert f"The model server for {tmp_path / 'nothing'} did not answer within 0.5 s." in (
        str(caught.value)
    )
    assert not is_running(server.pid)


def test_port_that_is_taken(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ServerProcessError, match="Address already in use"):
            ServerProcess(tmp_path, port=other.getsockname()[1]).start()


def test_server_ends_with_its_parent():
    """However the parent ends: here by SIGKILL, while the server is still starting."""
    code = """
import sys, time
from model_server.process import ServerProcess
server = ServerProcess("/nonexistent")
import threading
threading.Thread(target=server.start, daemon=True).start()
while server._process is None:
    time.sleep(0.01)
print(server.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_running(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: not is_running(pid))


def test_one_server_is_given_one_model_after_the_other(tmp_path, push):
    for name, version in (("first", 7), ("second", 5)):
        push(tmp_path / name, version)
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_text("no model")
    with ServerProcess(start_timeout_s=WAIT_S) as server:
        server.launch()
        pid = server.pid
        assert server.serve(tmp_path / "first", "first") == 7
        with pytest.raises(ServerProcessError, match=f"does not serve {tmp_path}/broken: .*parse"):
            server.serve(tmp_path / "broken", "broken")
        assert server.serve(tmp_path / "second", "second") == 5
        with pytest.raises(ValueError, match=r"another than the last one's\. Received: second"):
            server.serve(tmp_path / "first", "second")
        with Client(server.address, model_name="second") as client:
            assert client.predict(RED)[0].class_name == "red"
        with Client(server.address, model_name="first") as client:
            eventually(lambda: states(client) == {7: "END"})
        assert server.pid == pid
        assert server.stop() == 0


def test_a_server_that_is_not_launched_yet_is_by_its_first_model(tmp_path, push):
    push(tmp_path, 2)
    with ServerProcess(start_timeout_s=WAIT_S) as server:
        assert server.serve(tmp_path, "signs") == 2


def test_a_server_that_ends_before_it_listens(tmp_path):
    server = ServerProcess(start_timeout_s=WAIT_S, flags=["--ssl_config_file=/nonexistent"])
    with server, pytest.raises(ServerProcessError) as caught:
        server.serve(tmp_path, "signs")
    assert str(caught.value).splitlines() == [
        "The model server ended with exit code 255.",
        "Failed to start server. Error: NOT_FOUND: /nonexistent; No such file or directory",
    ]


def test_stop_without_start(tmp_path):
    assert ServerProcess(tmp_path).stop() is None
    assert ServerProcess(tmp_path).log() == ""
