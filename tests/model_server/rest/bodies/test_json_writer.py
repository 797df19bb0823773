"""Numbers as TF Serving writes them."""

import numpy as np
import pytest

from model_server.errors import InvalidArgumentError
from model_server.rest.bodies import json_writer
from signs import protos, tensors

FLOATS = [
    (2.5, "2.5"),
    (0.1, "0.1"),
    (1 / 3, "0.333333343"),
    (1234567, "1234567.0"),
    (16777216, "16777216.0"),
    (9000000, "9e+06"),
    (100000, "100000.0"),
    (1000000, "1e+06"),
    (123456.7, "123456.703"),
    (1e10, "1e+10"),
    (0.00003, "3e-05"),
    (0.0001, "0.0001"),
    (0.0, "0.0"),
    (-0.0, "-0.0"),
    (3.40282347e38, "3.40282347e+38"),
    (1e-45, "1.4013e-45"),
    (np.nan, "NaN"),
    (-np.nan, "NaN"),
    (np.inf, "Infinity"),
    (-np.inf, "-Infinity"),
]
DOUBLES = [
    (1 / 3, "0.33333333333333331"),
    (0.1, "0.1"),
    (123456.7, "123456.7"),
    (1e22, "1e+22"),
    (1234567, "1234567.0"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
]


def proto(array):
    tensor = protos.TensorProto()
    tensors.encode(array, tensor)
    return tensor


@pytest.mark.parametrize(("dtype", "pairs"), [(np.float32, FLOATS), (np.float64, DOUBLES)])
def test_decimals(dtype, pairs):
    numbers, texts = zip(*pairs, strict=True)
    written = json_writer.predictions({"y": proto(np.array(numbers, dtype))})
    assert written == b'{\n    "predictions": [' + ", ".join(texts).encode() + b"\n    ]\n}"


def test_rows_of_arrays_of_any_rank():
    array = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    assert json_writer.predictions({"y": proto(array)}) == (
        b'{\n    "predictions": [[[[0], [1]], [[2], [3]]], [[[4], [5]], [[6], [7]]]\n    ]\n}'
    )
    assert json_writer.predictions({"y": proto(np.empty((2, 2, 0), bool))}) == (
        b'{\n    "predictions": [[[], []], [[], []]\n    ]\n}'
    )
    assert json_writer.predictions({"y": proto(np.empty((0, 2), bool))}) == (
        b'{\n    "predictions": []\n}'
    )


def test_bytes_of_rank_two():
    array = np.array([[b"\xff"]], object)
    assert json_writer.predictions({"y_bytes": proto(array), "z": proto(np.zeros(1, int))}) == (
        b'{\n    "predictions": [\n        {\n            "y_bytes": [{\n'
        b'                    "b64": "/w=="\n                }],\n            "z": 0\n'
        b"        }\n    ]\n}"
    )


@pytest.mark.parametrize("dtype", ["float16", "uint16", "complex64"])
def test_types_without_a_form_in_json(dtype):
    name = {"float16": "half"}.get(dtype, dtype)
    with pytest.raises(InvalidArgumentError) as error:
        json_writer.outputs({"y": proto(np.ones(1, dtype))})
    assert str(error.value) == f"Failed to write JSON value for tensor type: {name}"
    assert json_writer.outputs({"y": proto(np.ones(0, dtype))}) == b'{\n    "outputs": []\n}'


def test_no_outputs():
    with pytest.raises(InvalidArgumentError, match="Cannot convert empty tensor map to JSON"):
        json_writer.outputs({})


def test_error_body():
    assert json_writer.error_body('"\\/\b\f\n\r\t\x01\x1f\x7fé\udcff') == (
        b'{\n    "error": "\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001F\x7f\xc3\xa9\xff"\n}'
    )
