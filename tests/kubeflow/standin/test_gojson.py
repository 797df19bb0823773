"""JSON as Go writes it."""

import pytest
from google.protobuf import struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kubeflow.standin.gojson import dump_canonical, dump_message, value_text


def test_a_message_has_whole_numbers_and_the_empty_type() -> None:
    message = pb.ExecutorInput()
    message.inputs.parameter_values["n"].number_value = 3
    message.inputs.artifacts["a"].artifacts.add(name="7").type.instance_schema = ""
    assert dump_message(message) == (
        '{"inputs":{"artifacts":{"a":{"artifacts":[{"name":"7","type":{"instanceSchema":""}}]}},'
        '"parameterValues":{"n":3}}}'
    )


def test_canonical_json_escapes_as_gos_encoder() -> None:
    assert dump_canonical({"b": "<ä & b>", "a": [1.0, 0.5, True]}) == (
        '{"a":[1,0.5,true],"b":"\\u003cä \\u0026 b\\u003e"}'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (0.25, "0.25"), (1e-5, "0.00001"), (True, "true"), ("a b", "a b"), (None, ""),
     ([1, "x"], '[1,"x"]'), ({"b": 1, "a": 2}, '{"a":2,"b":1}')],
)  # fmt: skip
def test_a_parameter_as_text(value: object, text: str) -> None:
    message = struct_pb2.Value()
    struct = struct_pb2.Struct()
    struct["it"] = value
    message.CopyFrom(struct.fields["it"])
    assert value_text(message) == text
