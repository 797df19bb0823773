"""What a training may be asked to run on."""

import pytest
from pydantic import TypeAdapter, ValidationError

from modules.machines.options import DeviceError, DeviceOptions
from signs.errors import UserError


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"gpus": -1},
            "devices.gpus must be a count from 0 (train on the CPU), or null for all GPUs. "
            "Received: -1",
        ),
        (
            {"gpus": True},
            "devices.gpus must be a count from 0 (train on the CPU), or null for all GPUs. "
            "Received: True",
        ),
        (
            {"precision": "float16"},
            "devices.precision must be one of auto, float32, mixed_bfloat16, mixed_float16. "
            "Received: float16",
        ),
        ({"xla": "on"}, "devices.xla must be auto, true or false. Received: on"),
        ({"xla": 1}, "devices.xla must be auto, true or false. Received: 1"),
    ],
)
def test_bad_options(values, text):
    with pytest.raises(DeviceError) as caught:
        DeviceOptions(**values)
    assert str(caught.value) == text
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    "values", [{"gpus": "all"}, {"gpus": 1.5}, {"gpus": -1}, {"precision": "half"}, {"xla": "?"}]
)
def test_bad_dictionaries(values):
    with pytest.raises(ValidationError):
        TypeAdapter(DeviceOptions).validate_python(values)
