"""Predict, case by case, on a SavedModel of TF 1: literal answers, and the exact error of each."""

import time

import numpy as np
import pytest

from model_server.errors import ModelError
from model_server.metrics import Metrics
from signs import protos, tensors
from tests.model_server.inference.conftest import NAME, VERSION, refused

INVALID = "INVALID_ARGUMENT"


def proto(dtype="DT_FLOAT", shape=(), **values):
    tensor = protos.TensorProto(dtype=protos.DataType.Value(dtype), **values)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def request(signature="", outputs=(), **inputs):
    message = protos.PredictRequest(output_filter=outputs)
    message.model_spec.name = NAME
    message.model_spec.signature_name = signature
    for key, value in inputs.items():
        if isinstance(value, protos.TensorProto):
            message.inputs[key].CopyFrom(value)
        else:
            tensors.encode(value, message.inputs[key])
    return message


def floats(*values, dtype=np.float32):
    return np.array(values, dtype)


def test_answer(service):
    response = service.predict(request(x=floats(2)))
    assert dict(response.outputs) == {"y": proto("DT_FLOAT", [1], float_val=[3])}
    assert response.model_spec == protos.ModelSpec(
        name=NAME, signature_name="serving_default", version={"value": VERSION}
    )


def test_a_label_is_not_told_again(service):
    asked = request(x=floats(2))
    asked.model_spec.version_label = "stable"
    answered = service.predict(asked).model_spec
    assert (answered.version.value, answered.version_label) == (VERSION, "")


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (proto(shape=[3], float_val=[2]), [3, 3, 3]),
        (proto(shape=[3]), [2, 2, 2]),
        (proto(shape=[1], float_val=[2, 4]), [3]),
        (proto(shape=[0]), []),
        (proto(float_val=[2]), 3),
        (proto(shape=[2, 1], tensor_content=floats(2, 4).tobytes()), [[3], [4]]),
    ],
)
def test_shapes(service, x, y):
    assert tensors.decode(service.predict(request(x=x)).outputs["y"]).tolist() == y


def test_content(serve):
    service = serve(as_content=True)
    response = service.predict(request("outputs", x=floats(2, 4)))
    content = floats(3, 4).tobytes()
    assert response.outputs["y"] == proto("DT_FLOAT", [2], tensor_content=content)
    text = b"\x08\x082.0000004.000000"
    assert response.outputs["text"] == proto("DT_STRING", [2], tensor_content=text)


def test_output_filter(service):
    assert set(service.predict(request("outputs", x=floats(2))).outputs) == {"y", "again", "text"}
    response = service.predict(request("outputs", ["text", "again"], x=floats(2)))
    assert set(response.outputs) == {"text", "again"}
    assert response.outputs["text"].string_val == [b"2.000000"]


def test_two_names_of_one_tensor_are_both_answered(service):
    outputs = service.predict(request("outputs", x=floats(2))).outputs
    assert outputs["y"] == outputs["again"] == proto("DT_FLOAT", [1], float_val=[3])


def test_a_default_stands_in_for_an_input(service):
    def total(**inputs):
        return service.predict(request("with_default", **inputs)).outputs["sum"].float_val

    assert total(x=floats(1)) == [11]
    assert total(x=floats(1), plus=floats(2)) == [3]


def test_a_signature_for_examples_takes_serialized_ones(service):
    x_is_4 = b"\n\x0f\n\r\n\x01x\x12\x08\x12\x06\n\x04\x00\x00\x80@"
    examples = proto("DT_STRING", [2], string_val=[x_is_4, b""])
    response = service.predict(request("regress_x_to_y", inputs=examples))
    assert response.outputs["outputs"] == proto("DT_FLOAT", [2, 1], float_val=[4, 2])


SETS = "len({%s}) != len({%s}). Sent extra: {%s}. Missing but required: {%s}."
ERRORS = {
    "unknown signature": (
        request("no", x=floats(1)),
        "FAILED_PRECONDITION",
        'Serving signature key "no" not found.',
    ),
    "no input": (
        request(),
        INVALID,
        "input size does not match signature: 0!=1 " + SETS % ("", "x", "", "x"),
    ),
    "too many inputs": (
        request(b=floats(1), a=floats(1)),
        INVALID,
        "input size does not match signature: 2!=1 " + SETS % ("a,b", "x", "a,b", "x"),
    ),
    "another name": (
        request(z=floats(1)),
        INVALID,
        "Signature input alias: x(feed name: x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {z}, or default input alias set: ",
    ),
    "another name, beside defaults": (
        request("with_default", plus=floats(1)),
        INVALID,
        "Signature input alias: x(feed name: a_in:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {plus}, or default input alias set: plus",
    ),
    "a name that no input has, beside defaults": (
        request("with_default", x=floats(1), z=floats(1)),
        INVALID,
        "Inputs contains invalid name. Used request inputs: x, request input: x,z",
    ),
    "content of the wrong length": (
        request(x=proto(shape=[2], tensor_content=b"123")),
        INVALID,
        "tensor parsing error: x",
    ),
    "no type": (request(x=protos.TensorProto()), INVALID, "tensor parsing error: x"),
    "a negative size": (request(x=proto(shape=[-1])), INVALID, "tensor parsing error: x"),
    "int32": (
        request(x=floats(1, dtype=np.int32)),
        INVALID,
        "Expects arg[0] to be float but int32 is provided",
    ),
    "string": (
        request(x=proto("DT_STRING", [1])),
        INVALID,
        "Expects arg[0] to be float but string is provided",
    ),
    "bool": (
        request(x=floats(1, dtype=bool)),
        INVALID,
        "Expects arg[0] to be float but bool is provided",
    ),
    # Tensors are numbered by their own names: a_in:0, b_in:0.
    "int64 for the second tensor": (
        request("two", first=floats(1, dtype=np.int64), second=floats(1)),
        INVALID,
        "Expects arg[1] to be float but int64 is provided",
    ),
    "int64 for the first tensor": (
        request("two", first=floats(1), second=floats(1, dtype=np.int64)),
        INVALID,
        "Expects arg[0] to be float but int64 is provided",
    ),
    "a signature of a tensor that does not exist": (
        request("lost", x=floats(1)),
        INVALID,
        "Tensor gone:0, specified in either feed_devices or fetch_devices was not found in the "
        "Graph",
    ),
    "an output twice": (
        request(outputs=["y", "y"], x=floats(1)),
        INVALID,
        "duplicate output tensor alias: y",
    ),
    "an unknown output": (
        request(outputs=["q"], x=floats(1)),
        INVALID,
        "output tensor alias not found in signature: q Outputs expected to be in the set {y}.",
    ),
    "an unknown output before one twice": (
        request(outputs=["y", "q", "y"], x=floats(1)),
        INVALID,
        "output tensor alias not found in signature: q Outputs expected to be in the set {y}.",
    ),
    "a bad input before an unknown output": (
        request(outputs=["q"], x=protos.TensorProto()),
        INVALID,
        "tensor parsing error: x",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(service, case):
    asked, code, message = ERRORS[case]
    assert refused(service.predict, asked) == (code, message)


def test_kernels_errors_pass_through(service):
    code, message = refused(
        service.predict, request("two", first=floats(1, 2), second=floats(1, 2, 3))
    )
    assert code == INVALID
    assert message.startswith("Incompatible shapes: [3] vs. [2]\n\t [[{{node ")


def test_no_spec(service):
    assert refused(service.predict, protos.PredictRequest()) == (INVALID, "Missing ModelSpec")


def test_method_names(serve):
    asked = request("no_method", x=floats(2))
    assert serve().predict(asked).outputs["y"].float_val == [3]
    strict = serve(check_method_names=True)
    assert refused(strict.predict, asked) == (
        "INTERNAL",
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: x/y",
    )
    assert strict.predict(request(x=floats(2))).outputs["y"].float_val == [3]
    by_examples = request("classify_x_to_y", inputs=proto("DT_STRING", [1], string_val=[b""]))
    assert strict.predict(by_examples).outputs["scores"].float_val == [2]


def test_a_run_is_broken_off_at_its_deadline(service):
    asked = request("count", n=np.array(10**12))
    started = time.monotonic()
    with pytest.raises(ModelError, match="Timed out waiting for notif") as caught:
        service.predict(asked, started + 0.2)
    assert caught.value.code.name == "DEADLINE_EXCEEDED"
    assert time.monotonic() - started < 5


def test_run_time_is_recorded(serve):
    metrics = Metrics()
    service = serve(metrics=metrics)
    service.predict(request(x=floats(2)))
    refused(service.predict, request(x=floats(2, dtype=bool)))
    assert (
        ':tensorflow:serving:runtime_latency_count{model_name="m",API="Predict",runtime="TF1"} 1\n'
        in metrics.render().decode()
    )
