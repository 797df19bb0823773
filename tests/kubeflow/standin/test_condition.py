"""Conditions as kfp and TFX write them."""

import pytest
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kubeflow.standin.condition import ConditionError, will_trigger


@pytest.fixture
def executor_input() -> pb.ExecutorInput:
    made = pb.ExecutorInput()
    made.inputs.parameter_values["count"].number_value = 3
    made.inputs.parameter_values["text"].string_value = "12 && true"
    made.inputs.parameter_values["on"].bool_value = True
    blessing = made.inputs.artifacts["blessing"].artifacts.add(name="7", uri="minio://b/x")
    blessing.metadata["blessed"] = 1
    return made


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("", True),
        ("inputs.artifacts['blessing'].artifacts[0].metadata['blessed'] == 1.0", True),
        ("!(inputs.artifacts['blessing'].artifacts[0].metadata['blessed'] == 1.0)", False),
        ("inputs.parameter_values['count'] > 2.0 && inputs.parameter_values['count'] < 3.0", False),
        ("inputs.parameter_values['count'] > 2.0 || inputs.parameter_values['count'] < 3.0", True),
        ("int(inputs.parameter_values['count']) != -3", True),
        ("inputs.parameter_values['text'] == '12 && true'", True),
        ("inputs.parameter_values['on'] == true", True),
        ("!inputs.parameter_values['on'] == true", False),
        ("inputs.artifacts['blessing'].artifacts[0].uri == \"minio://b/x\"", True),
    ],
)
def test_conditions(executor_input: pb.ExecutorInput, condition: str, expected: bool) -> None:
    assert will_trigger(executor_input, condition) is expected


@pytest.mark.parametrize(
    "condition",
    [
        "inputs.parameter_values['none'] == 1.0",
        "inputs.parameter_values['count'] == '3'",
        "inputs.parameter_values['count']",
        "inputs.parameter_values['count'] && true",
        "inputs.artifacts['blessing'].artifacts[1].uri == 'x'",
        "outputs == 1",
        "inputs == ",
        "__import__('os').system('true') == 0",
        "(lambda: true)() == true",
    ],
)
def test_what_cannot_be_evaluated_is_an_error(
    executor_input: pb.ExecutorInput, condition: str
) -> None:
    with pytest.raises(ConditionError):
        will_trigger(executor_input, condition)
