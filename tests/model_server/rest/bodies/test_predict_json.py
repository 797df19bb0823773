"""A body's instances or inputs as tensors; errors of whole requests: rest/test_predict."""

import pytest

from model_server.errors import InvalidArgumentError
from model_server.rest.bodies.predict_json import fill_inputs
from signs import protos, tensors

FLOAT, STRING = protos.DataType.DT_FLOAT, protos.DataType.DT_STRING
ONE = {"x": protos.TensorInfo(name="x:0", dtype=FLOAT)}
TWO = {**ONE, "s": protos.TensorInfo(name="s:0", dtype=STRING)}


def filled(document, wanted):
    request = protos.PredictRequest()
    in_rows = fill_inputs(document, wanted, request)
    return in_rows, {name: tensors.decode(t).tolist() for name, t in request.inputs.items()}


@pytest.mark.parametrize(
    ("document", "wanted", "expected"),
    [
        ({"instances": [1, 2]}, ONE, (True, {"x": [1.0, 2.0]})),
        ({"instances": [{"x": 1}, {"x": 2}]}, ONE, (True, {"x": [1.0, 2.0]})),
        (
            {"instances": [{"x": [1], "s": "a"}, {"s": {"b64": "Yg=="}, "x": [2]}]},
            TWO,
            (True, {"x": [[1.0], [2.0]], "s": [b"a", b"b"]}),
        ),
        ({"inputs": [[1, 2]]}, ONE, (False, {"x": [[1.0, 2.0]]})),
        ({"inputs": {"x": 1, "s": ["a"], "y": 3}}, TWO, (False, {"x": 1.0, "s": [b"a"]})),
    ],
)
def test_inputs(document, wanted, expected):
    assert filled(document, wanted) == expected


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"inputs": {"x": 1}}, "Missing named input: s in 'inputs' object."),
        ({"instances": [1]}, "instances is a plain list, but expecting list of objects"),
        ({"instances": [{"x": 1}]}, "keys must be equal to: s,x"),
    ],
)
def test_errors(document, text):
    with pytest.raises(InvalidArgumentError) as error:
        filled(document, TWO)
    assert text in str(error.value)
