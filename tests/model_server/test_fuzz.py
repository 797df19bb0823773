"""Anything at all is sent to every RPC and REST path: each answer is a proper one, none is a bug.

The server is a real one. A request whose failure is the server's own fault would be told as an
internal error and leave a traceback in its log; a crash would end its process. Both are looked for.
`make test-slow` sends 100,000 inputs.
"""

import base64
import http.client
import json
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from model_server.process import ServerProcess, free_port
from signs import features, protos, tensors
from tests.served import RED

FEW, MANY = 400, 25_000  # inputs of each of the four kinds
TIMEOUT_S = 30
BUG = "Internal error"

PREDICTION = "/tensorflow.serving.PredictionService/"
MODEL = "/tensorflow.serving.ModelService/"
METHOD_NAMES = ["", "tensorflow/serving/classify", "tensorflow/serving/regress"]
RPCS = {
    PREDICTION + "Predict": protos.PredictRequest,
    PREDICTION + "Classify": protos.ClassificationRequest,
    PREDICTION + "Regress": protos.RegressionRequest,
    PREDICTION + "MultiInference": protos.MultiInferenceRequest,
    PREDICTION + "GetModelMetadata": protos.GetModelMetadataRequest,
    MODEL + "GetModelStatus": protos.GetModelStatusRequest,
}
CODES = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,  # for bytes that are no message
}
HTTP_CODES = {200, 400, 404, 501}


@pytest.fixture(scope="module")
def base_path(saved_model, tmp_path_factory) -> Path:
    base_path = tmp_path_factory.mktemp("fuzzed")
    (base_path / "3").symlink_to(saved_model)
    return base_path


@pytest.fixture(scope="module")
def server(base_path) -> Iterator[ServerProcess]:
    port = free_port()
    flags = [f"--rest_api_port={port}", "--rest_api_timeout_in_ms=10000"]
    with ServerProcess(base_path, flags=flags) as running:
        running.rest_port = port
        yield running
        assert "Traceback" not in running.log()


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.address) as channel:
        yield channel


# --- What is sent ---------------------------------------------------------------------------------

INT64 = st.integers(-(2**63), 2**63 - 1)
# Most of a request is right, so that what is wrong with it is met at every depth.
NAMES = st.sampled_from(
    ["signs"] * 20 + ["", "signs ", "nosuch", "../signs", "/etc/passwd", "\0", "ß", "a" * 3000]
)
SIGNATURES = st.one_of(
    st.sampled_from(["", "add", "echo", features.SERVE_IMAGES, features.SERVING_DEFAULT, "nosuch"]),
    st.sampled_from(["__saved_model_init_op", "../add"]),
    st.text(max_size=20),
)
ALIASES = st.one_of(
    st.sampled_from(["a", "b", "sum", "inputs", features.IMAGES_INPUT, features.EXAMPLES_INPUT]),
    st.sampled_from([features.PROBABILITIES, "float32", "string", "int64"]),
    st.text(max_size=8),
)
SIZES = st.one_of(st.integers(0, 3), st.sampled_from([-1, 2**31, 2**40, 2**62]), INT64)


@st.composite
def model_specs(draw):
    spec = protos.ModelSpec(name=draw(NAMES), signature_name=draw(SIGNATURES))
    which = draw(st.sampled_from([""] * 6 + ["version", "label"]))
    if which == "version":
        spec.version.value = draw(st.one_of(st.just(3), st.just(3), INT64))
    elif which == "label":
        spec.version_label = draw(st.text(max_size=8))
    return spec


def right_inputs() -> dict[str, dict[str, np.ndarray]]:
    """Inputs that are answered, for some signatures."""
    example = protos.Example()
    example.features.feature[features.IMAGE].bytes_list.value.append(RED)
    return {
        "add": {"a": np.ones((2, 2), np.float32), "b": np.ones((2, 2), np.int32)},
        features.SERVE_IMAGES: {features.IMAGES_INPUT: np.array([RED, RED], object)},
        "": {features.EXAMPLES_INPUT: np.array([example.SerializeToString()], object)},
    }


@st.composite
def tensor_protos(draw):
    proto = protos.TensorProto(dtype=draw(st.one_of(st.integers(0, 30), st.integers(-5, 200))))
    proto.tensor_shape.unknown_rank = draw(st.sampled_from([False] * 9 + [True]))
    for size in draw(st.lists(SIZES, max_size=4)):
        proto.tensor_shape.dim.add(size=size)
    proto.float_val.extend(draw(st.lists(st.floats(width=32), max_size=4)))
    proto.int_val.extend(draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4)))
    proto.int64_val.extend(draw(st.lists(INT64, max_size=4)))
    proto.string_val.extend(draw(st.lists(st.one_of(st.just(RED), st.binary(max_size=9)))))
    proto.bool_val.extend(draw(st.lists(st.booleans(), max_size=2)))
    proto.half_val.extend(draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4)))
    proto.tensor_content = draw(st.one_of(st.just(b""), st.just(b""), st.binary(max_size=40)))
    return proto


@st.composite
def inputs(draw):
    """The `Input` of Classify, Regress and MultiInference."""
    message = type(protos.ClassificationRequest().input)()
    kind = draw(st.sampled_from(["", "example_list", "example_list_with_context"]))
    if kind:
        for image in draw(st.lists(st.one_of(st.just(RED), st.binary(max_size=9)), max_size=3)):
            example = getattr(message, kind).examples.add()
            name = draw(st.sampled_from([features.IMAGE, "x"]))
            example.features.feature[name].bytes_list.value.append(image)
    return message


@st.composite
def requests(draw):
    often = [PREDICTION + "Predict"] * 5
    method = draw(st.sampled_from(sorted(RPCS) + often))
    request = (kind := RPCS[method])()
    if kind is protos.MultiInferenceRequest:
        for spec in draw(st.lists(model_specs(), max_size=3)):
            request.tasks.add(model_spec=spec, method_name=draw(st.sampled_from(METHOD_NAMES)))
        request.input.CopyFrom(draw(inputs()))
        return method, request
    if draw(st.sampled_from([True] * 9 + [False])):
        request.model_spec.CopyFrom(draw(model_specs()))
    if kind is protos.PredictRequest:
        signature, arrays = draw(st.sampled_from(sorted(right_inputs().items(), key=str)))
        if draw(st.sampled_from([True] * 4 + [False])):
            request.model_spec.signature_name = signature
            for alias, array in arrays.items():
                tensors.encode(array, request.inputs[alias], as_content=draw(st.booleans()))
        if draw(st.booleans()):
            for alias, proto in draw(st.dictionaries(ALIASES, tensor_protos(), max_size=2)).items():
                request.inputs[alias].CopyFrom(proto)
        if draw(st.sampled_from([True] + [False] * 3)):
            request.output_filter.extend(draw(st.lists(ALIASES, max_size=2)))
    elif kind is protos.GetModelMetadataRequest:
        fields = st.one_of(st.just("signature_def"), st.text(max_size=8))
        request.metadata_field.extend(draw(st.lists(fields, max_size=2)))
    elif kind is not protos.GetModelStatusRequest:
        request.input.CopyFrom(draw(inputs()))
    return method, request


@st.composite
def damaged(draw):
    """A request's bytes with some of them changed, cut or doubled."""
    method, request = draw(requests())
    data = bytearray(request.SerializeToString())
    for _ in range(draw(st.sampled_from([1, 1, 2, 4]))):
        position = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["change"] * 5 + ["cut", "insert", "double"]))
        if how == "cut" and position > len(data) // 2:
            del data[position:]
        elif how == "double":
            data += data[position:]
        else:
            data[position : position + (how == "change")] = draw(st.binary(min_size=1, max_size=2))
    return method, bytes(data[: 2**16])


def json_values():
    b64 = st.one_of(st.just("aGk="), st.text(max_size=6))
    leaf = st.one_of(
        st.none(),
        st.booleans(),
        INT64,
        st.integers(),
        st.floats(),
        st.text(max_size=9),
        st.fixed_dictionaries({"b64": b64}),
    )
    keys = st.one_of(ALIASES, st.just("b64"))

    def larger(values):
        return st.lists(values, max_size=4) | st.dictionaries(keys, values, max_size=3)

    return st.recursive(leaf, larger, max_leaves=12)


RIGHT_BODIES = [
    {"signature_name": "add", "instances": [{"a": [1, 2], "b": [3, 4]}]},
    {"signature_name": "add", "inputs": {"a": [[1, 2]], "b": [[3, 4]]}},
    {
        "signature_name": features.SERVE_IMAGES,
        "instances": [{"b64": base64.b64encode(RED).decode()}],
    },
]


@st.composite
def bodies(draw):
    keys = ["instances", "inputs", "examples", "context", "signature_name", "x"]
    body = dict(draw(st.sampled_from([*RIGHT_BODIES, {}, {}])))
    body |= draw(st.dictionaries(st.sampled_from(keys), json_values(), max_size=2))
    if draw(st.sampled_from([True] + [False] * 2)):
        body["signature_name"] = draw(SIGNATURES)
    text = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.sampled_from([False] * 4 + [True])):
        position = draw(st.integers(0, len(text)))
        text = text[:position] + draw(st.binary(max_size=4)) + text[position + 1 :]
    return text


PATH_CHARACTERS = string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/%?#"
PATHS = st.one_of(
    st.sampled_from(["/v1/models/signs:predict"] * 6 + ["/v1/models/signs:classify"] * 2),
    st.sampled_from(["/v1/models/signs:regress", "/v1/models/signs/versions/3:predict"]),
    st.sampled_from(["/v1/models/signs", "/v1/models/signs/metadata", "/v1/models/signs/labels/x"]),
    st.sampled_from(["/", "/etc/passwd", "/v1/../../etc/passwd", "/v1/models/%2e%2e%2f:predict"]),
    st.text(PATH_CHARACTERS, max_size=30).map(lambda text: "/v1/" + text),
    st.text(PATH_CHARACTERS, max_size=30).map(lambda text: "/v1/models/" + text),
)
METHODS = st.sampled_from(["POST"] * 8 + ["GET"] * 4 + ["PUT", "DELETE", "OPTIONS", "PATCH"])
HEADERS = st.sampled_from(
    [{}] * 6
    + [
        {"Content-Encoding": "gzip"},
        {"Origin": "http://elsewhere"},
        {"Content-Type": "text/plain"},
        {"Accept-Encoding": "gzip"},
    ]
)


# --- What must come back --------------------------------------------------------------------------


def fuzzed(count: int):
    """Runs a test on so many inputs; the time of one says nothing on a shared machine."""
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def send(channel: grpc.Channel, method: str, data: bytes) -> grpc.StatusCode:
    call = channel.unary_unary(method, None, None)
    try:
        call(data, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        assert error.code() in CODES, error
        assert BUG not in error.details(), error
        assert len(error.details().encode()) <= 1024 + len("...TRUNCATED")
        return error.code()
    return grpc.StatusCode.OK


def check_requests(channel, count: int) -> None:
    seen: Counter[grpc.StatusCode] = Counter()

    @fuzzed(count)
    @given(requests())
    def run(sent):
        method, request = sent
        seen[send(channel, method, request.SerializeToString())] += 1

    run()
    # What is sent comes as far as the model, and fails in many ways before it.
    assert set(seen) >= CODES - {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED}, seen


def check_damaged(channel, count: int) -> None:
    seen: Counter[grpc.StatusCode] = Counter()

    @fuzzed(count)
    @given(
        st.one_of(
            damaged(),
            damaged(),
            damaged(),
            st.tuples(st.sampled_from(sorted(RPCS)), st.binary(max_size=99)),
        )
    )
    def run(sent):
        seen[send(channel, *sent)] += 1

    run()
    # Some are no messages any more, and some of the others come as far as a model.
    assert grpc.StatusCode.INTERNAL in seen and len(seen) > 2, seen


def check_rest(port: int, count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    seen: Counter[int] = Counter()

    @fuzzed(count)
    @given(METHODS, PATHS, bodies(), HEADERS)
    def run(method, path, body, headers):
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status in HTTP_CODES, (response.status, answer)
        assert BUG.encode() not in answer
        kind = response.getheader("Content-Type", "")
        if answer and kind.startswith("application/json"):
            # The bytes of names that are no UTF-8 come back as they were sent.
            told = json.loads(answer.decode(errors="replace"))
            assert ("error" in told) == (response.status != 200)
        seen[response.status] += 1

    run()
    assert {200, 400, 404} <= set(seen), seen
    connection.close()


def check_reload(channel, count: int) -> None:
    """What is reloaded names the model that is served, or a place where there is none."""

    @st.composite
    def reloads(draw):
        request = protos.ReloadConfigRequest()
        request.metric_names.extend(draw(st.lists(st.text(max_size=9), max_size=2)))
        for _ in range(draw(st.integers(0, 2))):
            entry = request.config.model_config_list.config.add(
                name=draw(st.sampled_from(["other", "", "ß"])),
                base_path=draw(st.sampled_from(["", "relative", "/nosuch", "scheme://x", "/\0"])),
                model_platform=draw(st.sampled_from(["tensorflow", "", "caffe"])),
            )
            for label in draw(st.lists(st.text(max_size=4), max_size=2)):
                entry.version_labels[label] = draw(INT64)
            entry.model_version_policy.latest.num_versions = draw(st.integers(0, 2**32 - 1))
        return request

    call = channel.unary_unary(MODEL + "HandleReloadConfigRequest", None, None)

    @fuzzed(count)
    @given(reloads())
    def run(request):
        try:
            call(request.SerializeToString(), timeout=0.2)
        except grpc.RpcError as error:
            assert error.code() in CODES | {
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.UNKNOWN,
            }
            assert BUG not in error.details(), error

    run()


def answers_as_before(server, channel) -> None:
    assert psutil.Process(server.pid).status() != psutil.STATUS_ZOMBIE
    request = protos.GetModelStatusRequest(model_spec={"name": "signs"})
    call = channel.unary_unary(
        MODEL + "GetModelStatus", None, protos.GetModelStatusResponse.FromString
    )
    response = call(request.SerializeToString(), timeout=TIMEOUT_S)
    assert [entry.state for entry in response.model_version_status] == [30]


def test_requests(server, channel):
    check_requests(channel, FEW)
    answers_as_before(server, channel)


def test_damaged_requests(server, channel):
    check_damaged(channel, FEW)
    answers_as_before(server, channel)


def test_rest(server, channel):
    check_rest(server.rest_port, FEW)
    answers_as_before(server, channel)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_100_000_inputs(server, channel):
    check_requests(channel, MANY)
    check_damaged(channel, MANY)
    check_rest(server.rest_port, 2 * MANY)
    answers_as_before(server, channel)


def test_reloads(server, channel, base_path):
    """However wrong they were, the model that they took away is served when it is asked for."""
    check_reload(channel, 60)
    request = protos.ReloadConfigRequest()
    request.config.model_config_list.config.add(
        name="signs", base_path=str(base_path), model_platform="tensorflow"
    )
    call = channel.unary_unary(MODEL + "HandleReloadConfigRequest", None, None)
    call(request.SerializeToString(), timeout=TIMEOUT_S)
    answers_as_before(server, channel)
