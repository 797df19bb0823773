"""REST as a transport: what is sent, and what becomes of every kind of answer."""

import base64
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable

import grpc
import numpy as np
import pytest

from signs import protos
from signs.client import Client, ClientError
from signs.transports.rest_transport import RestTransport
from signs.transports.transport import Target, TransportError, UnexpectedAnswerError
from tests.served import RED


class Servant:
    """An HTTP server on loopback that answers what a test says, and keeps what it was asked."""

    def __init__(self, status: int = 200, body: bytes | str | dict = b"", pause_s: float = 0):
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                length = int(self.headers.get("Content-Length", 0))
                asked.append((self.command, self.path, self.rfile.read(length)))
                time.sleep(pause_s)
                raw = json.dumps(body) if isinstance(body, dict) else body
                raw = raw.encode() if isinstance(raw, str) else raw
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *args):
                """Silence."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def transport(servant: Servant, target: Target | None = None, limit: int = 10_000):
    return RestTransport(servant.address, target or Target("signs"), None, limit)


def predict(servant: Servant, *outputs: str, timeout_s: float = 5) -> dict[str, np.ndarray]:
    inputs = {"x": np.array([b"\x00\xff", b""], object), "n": np.array([[1.5, 2.0]])}
    return transport(servant).predict("look", inputs, outputs or ("y",), timeout_s)


def failure(call: Callable[[], object]) -> TransportError:
    with pytest.raises(TransportError) as caught:
        call()
    return caught.value


# --- What is sent --------------------------------------------------------------------------------


def test_inputs_go_in_columns_and_bytes_in_base64():
    with Servant(body={"outputs": {"y": [1]}}) as servant:
        predict(servant)
    ((method, path, body),) = servant.asked
    assert (method, path) == ("POST", "/v1/models/signs:predict")
    assert json.loads(body) == {
        "signature_name": "look",
        "inputs": {
            "x": [{"b64": base64.b64encode(b"\x00\xff").decode()}, {"b64": ""}],
            "n": [[1.5, 2]],
        },
    }


@pytest.mark.parametrize(
    ("prefix", "target", "path"),
    [
        ("", Target("signs"), "/v1/models/signs"),
        ("/", Target("signs", 7), "/v1/models/signs/versions/7"),
        ("", Target("signs", 0), "/v1/models/signs/versions/0"),
        ("", Target("signs", label="stable"), "/v1/models/signs/labels/stable"),
        ("/serving/", Target("a/b c"), "/serving/v1/models/a%2Fb%20c"),
        ("", Target("signs", label="a:b/ü"), "/v1/models/signs/labels/a%3Ab%2F%C3%BC"),
    ],
)
def test_paths(prefix, target, path):
    with Servant(body={"model_version_status": []}) as servant:
        RestTransport(servant.address + prefix, target, None, 1000).status(5)
    assert servant.asked == [("GET", path, b"")]


def test_a_label_of_one_request():
    for target in (Target("signs"), Target("signs", 7), Target("signs", label="traffic-99")):
        with Servant(body={"outputs": {"y": [1]}}) as servant:
            transport = RestTransport(servant.address + "/at", target, None, 1000)
            transport.predict("look", {}, ("y",), 5, label="traffic-07")
        assert [path for _, path, _ in servant.asked] == [
            "/at/v1/models/signs/labels/traffic-07:predict"
        ]


# --- What comes back -----------------------------------------------------------------------------


def test_outputs_by_name():
    body = (
        '{"outputs": {"text": ["a", "\\u00fc"], "raw_bytes": [{"b64": "AAA="}], "flag": [true],'
        ' "odd": [NaN, Infinity, 1e-3], "count": [[9007199254740993]], "none": []}}'
    )
    with Servant(body=body) as servant:
        found = predict(servant, "text", "raw_bytes", "flag", "odd", "count", "none")
    assert found["text"].tolist() == [b"a", "ü".encode()]
    assert found["raw_bytes"].tolist() == [b"\x00\x00"]
    assert found["flag"].tolist() == [True]
    assert np.isnan(found["odd"][0])
    assert found["odd"][1:].tolist() == [np.inf, 0.001]
    assert found["count"].tolist() == [[9007199254740993]]
    assert found["none"].shape == (0,)


@pytest.mark.parametrize("outputs", [[1, 2], {"y": [1, 2]}])
def test_the_only_output_has_no_name(outputs):
    with Servant(body={"outputs": outputs}) as servant:
        assert predict(servant, "y")["y"].tolist() == [1, 2]


def test_optional_outputs():
    with Servant(body={"outputs": {"y": [1], "flag": [True], "more": [2]}}) as servant:
        found = transport(servant).predict("look", {}, ("y",), 5, optional=("flag", "none"))
    assert {name: array.tolist() for name, array in found.items()} == {"y": [1], "flag": [True]}


def test_status_and_metadata():
    status = {
        "model_version_status": [
            {"version": "3", "state": "END", "status": {"error_code": "NOT_FOUND", "new": 1}}
        ]
    }
    with Servant(body=status) as servant:
        (version,) = transport(servant).status(5).model_version_status
    assert (version.version, version.state) == (3, protos.ModelVersionStatus.END)
    tensor = {"name": "x:0", "dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}]}}
    metadata = {
        "model_spec": {"name": "signs", "version": "3"},
        "metadata": {"signature_def": {"signature_def": {"look": {"inputs": {"x": tensor}}}}},
    }
    with Servant(body=metadata) as servant:
        version, signatures = transport(servant).metadata(5)
    assert version == 3
    assert signatures.signature_def["look"].inputs["x"].tensor_shape.dim[0].size == -1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (409, "ABORTED"),
        (429, "RESOURCE_EXHAUSTED"),
        (499, "CANCELLED"),
        (500, "INTERNAL"),
        (501, "UNIMPLEMENTED"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (418, "UNKNOWN"),
        (301, "UNKNOWN"),
    ],
)
def test_a_status_of_http_is_one_of_grpc(status, code):
    with Servant(status, {"error": "why"}) as servant:
        error = failure(lambda: predict(servant))
    assert (error.code.name, error.details) == (code, "why")


def test_an_error_page_of_another_server():
    with Servant(404, "<html>not here</html>") as servant:
        assert failure(lambda: predict(servant)).details == (
            "HTTP 404 Not Found, as no model server says it: check the address"
        )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<html>hello</html>", "no JSON object"),
        ("[1]", "no JSON object"),
        ({}, "no outputs by name"),
        ({"outputs": [1]}, "no outputs by name"),
        ({"outputs": {"y": [1]}}, 'output "z" is missing'),
        ({"outputs": {"y": [[1], [2, 3]], "z": 1}}, 'output "y": '),
        ({"outputs": {"y": [{"b64": "A"}], "z": 1}}, 'output "y": '),
    ],
)
def test_answers_of_something_else(body, text):
    with Servant(body=body) as servant, pytest.raises(UnexpectedAnswerError) as caught:
        predict(servant, "y", "z")
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("body", [{}, {"model_spec": 3}, {"model_spec": {}, "metadata": []}])
def test_metadata_of_something_else(body):
    with Servant(body=body) as servant, pytest.raises(UnexpectedAnswerError):
        transport(servant).metadata(5)


def test_status_of_something_else():
    body = {"model_version_status": 3}
    with Servant(body=body) as servant, pytest.raises(UnexpectedAnswerError):
        transport(servant).status(5)


def test_an_answer_that_is_too_large():
    with Servant(body={"outputs": [0] * 10_000}) as servant:
        error = failure(lambda: predict(servant))
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details == "Received message larger than max (10000 bytes)"


def test_no_answer_in_time():
    with Servant(pause_s=1) as servant:
        begun = time.monotonic()
        error = failure(lambda: predict(servant, timeout_s=0.2))
        assert time.monotonic() - begun < 0.9
    assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_connection_that_breaks_is_tried_again():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        calls = []

        def hang_up():
            while len(calls) < 3:
                connection, _ = listener.accept()
                connection.recv(100)
                calls.append(1)
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(address, max_attempts=3) as client, pytest.raises(ClientError) as caught:
            client.predict(RED)
        thread.join()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    # Three times it hung up, and then it took connections and did nothing.
    place = address.removeprefix("http://")
    assert str(caught.value).startswith(f"{place} takes connections and says nothing: ")
