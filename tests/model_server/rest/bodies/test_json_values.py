"""Which JSON values a type takes, and how a tensor keeps them."""

import numpy as np
import pytest

from model_server.errors import InvalidArgumentError, UnimplementedError
from model_server.rest.bodies import json_values
from signs import protos, tensors

T = protos.DataType


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ({"b64": "aGk="}, True),
        ({"b64": 1}, False),
        ({"b64": "aGk=", "x": 1}, False),
        ({}, False),
        ("aGk=", False),
    ],
)
def test_is_base64(value, is_one):
    assert json_values.is_base64(value) is is_one


@pytest.mark.parametrize("text", ["aGk=", "aGk", " a\nGk=", "aGk."])
def test_base64(text):
    assert json_values.decode_base64({"b64": text}) == b"hi"


@pytest.mark.parametrize("text", ["a", "aGk==", "a?k=", "aGk=x"])
def test_what_is_not_base64(text):
    with pytest.raises(InvalidArgumentError, match="Unable to base64 decode"):
        json_values.decode_base64({"b64": text})


def test_the_shape_is_that_of_the_first_elements():
    assert json_values.shape_of(1) == []
    assert json_values.shape_of([[1, 2], [3]]) == [2, 2]
    assert json_values.shape_of([[], 1]) == [2, 0]


def tensor(value, dtype):
    proto = protos.TensorProto()
    shape = json_values.shape_of(value)
    json_values.write(proto, dtype, shape, json_values.read(value, shape, dtype))
    return tensors.decode(proto)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ([[1, 2.5], [3, 4]], T.DT_FLOAT, np.array([[1, 2.5], [3, 4]], np.float32)),
        ([1e39], T.DT_FLOAT, np.array([np.inf], np.float32)),
        (7, T.DT_DOUBLE, np.array(7.0)),
        ([300, -1], T.DT_UINT8, np.array([44, 255], np.uint8)),  # cut off, as in TF Serving
        ([2**64 - 1], T.DT_UINT64, np.array([2**64 - 1], np.uint64)),
        ([-(2**63)], T.DT_INT64, np.array([-(2**63)], np.int64)),
        ([True, False], T.DT_BOOL, np.array([True, False])),
        (["é", {"b64": "/w=="}], T.DT_STRING, np.array(["é".encode(), b"\xff"], object)),
    ],
)
def test_values(value, dtype, expected):
    found = tensor(value, dtype)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        ([True], T.DT_INT32, "JSON Value: true Type: True is not of expected type: int32"),
        ([1.5], T.DT_INT32, "JSON Value: 1.5 Type: Number is not of expected type: int32"),
        ([2**31], T.DT_INT32, "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ([1], T.DT_BOOL, "JSON Value: 1 Type: Number is not of expected type: bool"),
        (["x"], T.DT_FLOAT, 'JSON Value: "x" Type: String is not of expected type: float'),
        ([[1], 2], T.DT_FLOAT, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. "
         "Expected at level: 2"),
        ([1, [2]], T.DT_FLOAT, "Encountered list at unexpected level: 1 expected < 1"),
        ([[1, 2], [3]], T.DT_FLOAT, "Encountered list at unexpected size: 1 at level: 1 "
         "expected size: 2"),
        ([{"x": 1}], T.DT_STRING, 'JSON Value: {\n    "x": 1\n} not formatted correctly for '
         "base64 data"),
    ],
)  # fmt: skip
def test_what_a_type_does_not_take(value, dtype, text):
    with pytest.raises(InvalidArgumentError) as error:
        tensor(value, dtype)
    assert str(error.value) == text


def test_types_without_a_form_in_json():
    with pytest.raises(UnimplementedError, match="Conversion of JSON Value: 1 to type: half"):
        tensor([1], T.DT_HALF)
    with pytest.raises(UnimplementedError, match="to type: unknown dtype enum \\(999\\)"):
        tensor([1], 999)
