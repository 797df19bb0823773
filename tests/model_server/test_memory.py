"""No request kills the server: what once did is refused in words, and memory stays below 4 GiB.

The server is a real one, with the pipeline's preparation of pictures. `python -m
benchmarks.server_fuzz` looks for more such requests.
"""

import base64
import gzip
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from benchmarks import server_fuzz
from model_server.process import ServerProcess, free_port
from signs import features, protos, tensors
from tests import bombs

PIXELS = ", more than the 50,000,000 allowed"
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tensorflow as tf

    from modules.preprocessing import prepare_images

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.IMAGES_INPUT)])
        def serve_images(self, image_bytes):
            return {features.SCORES: tf.reduce_mean(prepare_images(image_bytes, 16), [1, 2])}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.EXAMPLES_INPUT)])
        def serving_default(self, examples):
            spec = {features.IMAGE: tf.io.FixedLenFeature([], tf.string)}
            return self.serve_images(tf.io.parse_example(examples, spec)[features.IMAGE])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.CLASSIFY_INPUT)])
        def classify(self, inputs):
            return self.serving_default(inputs)

    base_path = tmp_path_factory.mktemp("memory")
    model = Model()
    names = (features.SERVE_IMAGES, features.SERVING_DEFAULT, features.CLASSIFY)
    signatures = {name: getattr(model, name) for name in names}
    tf.saved_model.save(model, str(base_path / "1"), signatures=signatures)
    return base_path


@pytest.fixture(scope="module")
def fuzzed(base_path) -> Iterator[server_fuzz.Fuzzed]:
    port = free_port()
    flags = [f"--rest_api_port={port}"]
    with ServerProcess(base_path, server_fuzz.MODEL, flags=flags) as server:
        yield server_fuzz.Fuzzed(server, port)
        assert "Traceback" not in server.log()


@pytest.fixture
def ask(fuzzed):
    """Asks over gRPC; the rows of the answer, or code and text."""

    def ask(serialized: bytes, method: str = server_fuzz.PREDICT) -> object:
        try:
            answer = fuzzed.channel.unary_unary(method)(serialized, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return error.code().name, error.details()
        response = protos.PredictResponse.FromString(answer)
        return len(tensors.decode(response.outputs[features.SCORES]))

    yield ask
    assert ask(of_images(bombs.png(8, 8))) == 1, "it does not answer any more"
    assert fuzzed.memory_mib("VmHWM") < 3000


def of_images(*images: bytes, declared: int = 0) -> bytes:
    request = protos.PredictRequest(
        model_spec={"name": server_fuzz.MODEL, "signature_name": features.SERVE_IMAGES}
    )
    array = np.empty(len(images), object)
    array[:] = images
    tensors.encode(array, request.inputs[features.IMAGES_INPUT])
    request.inputs[features.IMAGES_INPUT].tensor_shape.dim[0].size = declared or len(images)
    return request.SerializeToString()


def test_one_string_that_stands_for_three_millions(ask):
    request = of_images(bytes(7_800), declared=3_000_000)
    assert len(request) < 8_000
    assert ask(request) == ("INVALID_ARGUMENT", "tensor parsing error: image_bytes")


def test_a_small_file_of_half_a_gigapixel(ask):
    bomb = bombs.png(22_000, 22_000)
    assert len(bomb) < 72_000
    code, text = ask(of_images(bombs.png(8, 8), bomb))
    assert code == "INVALID_ARGUMENT"
    assert text.startswith(f"assertion failed: [image 1: 22000 x 22000 pixels{PIXELS}]")


def test_the_same_in_an_example_and_over_rest(ask, fuzzed):
    bomb = bombs.png(22_000, 22_000, data=b"")
    example = server_fuzz.example(bomb)
    request = protos.PredictRequest(model_spec={"name": server_fuzz.MODEL})
    array = np.array([example.SerializeToString()], object)
    tensors.encode(array, request.inputs[features.EXAMPLES_INPUT])
    _, text = ask(request.SerializeToString())
    assert f"[image 0: 22000 x 22000 pixels{PIXELS}]" in text
    body = {
        "signature_name": features.SERVE_IMAGES,
        "instances": [{"b64": base64.b64encode(bomb).decode()}],
    }
    status, text = post(fuzzed, json.dumps(body).encode())
    assert status == 400
    assert f"[image 0: 22000 x 22000 pixels{PIXELS}]" in text


@pytest.mark.parametrize("kind", bombs.EXAMPLES)
def test_an_example_that_ends_a_parser(ask, kind):
    """The model's own graph has nothing against it: it is as others export theirs."""
    request = protos.PredictRequest(model_spec={"name": server_fuzz.MODEL})
    good = server_fuzz.example(bombs.png(8, 8)).SerializeToString()
    array = np.array([good, bombs.EXAMPLES[kind]], object)
    tensors.encode(array, request.inputs[features.EXAMPLES_INPUT])
    code, text = ask(request.SerializeToString())
    assert code == "INVALID_ARGUMENT"
    assert text.startswith("Could not parse example input, value: '")


def test_many_large_pictures_are_answered(ask):
    """They are decoded one after the other."""
    assert ask(of_images(*[bombs.png(7000, 7000)] * 6)) == 6


def test_too_many_pictures_are_refused(ask):
    code, text = ask(of_images(*[bombs.png(8, 8)] * 2_000))
    assert code == "INVALID_ARGUMENT"
    assert "runs may take 1,024 MiB together (--request_memory_mib)" in text


def test_millions_of_empty_fields_are_not_even_parsed(ask):
    fields = bytes.fromhex("1200") * 8_000_000
    code, text = ask(fields, server_fuzz.CLASSIFY)
    assert code == "INVALID_ARGUMENT"
    assert "messages may take 512 MiB together" in text


@pytest.mark.parametrize("gzipped", [False, True])
def test_millions_of_numbers_in_json_are_not_even_read(ask, fuzzed, gzipped):
    body = b'{"instances": [' + b"1," * 10_000_000 + b"1]}"
    status, text = post(fuzzed, gzip.compress(body, 1) if gzipped else body, gzipped)
    assert status == 400
    assert "messages may take 512 MiB together" in text


def post(fuzzed, body: bytes, gzipped: bool = False) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", fuzzed.rest_port, timeout=TIMEOUT_S)
    headers = {"Content-Encoding": "gzip"} if gzipped else {}
    connection.request("POST", f"/v1/models/{server_fuzz.MODEL}:predict", body, headers)
    response = connection.getresponse()
    text = json.loads(response.read())["error"]
    connection.close()
    return response.status, text


def test_a_short_search_finds_nothing_worse(fuzzed, ask):
    """The fuzz, from those of its first requests that are made and answered at once."""
    quick = [recipe for recipe in server_fuzz.SEEDS if recipe.sent <= 8]
    server_fuzz.fuzz(fuzzed, quick, requests=50, seconds=8, seed=1)
    assert fuzzed.faults == []
    assert fuzzed.peak_mib < 3000
    assert {"OK", "INVALID_ARGUMENT"} <= set(fuzzed.codes)
