"""JSON -> the tensors of a PredictRequest, in row format ("instances") or column ("inputs").

The checks, their order and their words are those of TF Serving's `json_tensor.cc`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model_server.errors import InvalidArgumentError, RequestError
from model_server.rest.bodies import json_values
from model_server.rest.bodies.json_debug import debug_text
from model_server.rest.bodies.json_values import is_base64
from model_server.rest.bodies.rapid_json import JsonObject

_MISSING = object()


def fill_inputs(document: JsonObject, wanted: Mapping[str, Any], request: Any) -> bool:
    """Fills a PredictRequest's inputs.

    Args:
        document: the request's body.
        wanted: the TensorInfo of each input of the signature, by name; not empty.
        request: the PredictRequest.

    Returns:
        Whether the request, and so its answer, is in row format.

    Raises:
        RequestError: with TF Serving's status and text.
    """
    instances = document.find("instances", _MISSING)
    inputs = document.find("inputs", _MISSING)
    if instances is _MISSING and inputs is _MISSING:
        raise InvalidArgumentError("Missing 'inputs' or 'instances' key")
    if instances is _MISSING:
        _fill_columns(inputs, wanted, request)
        return False
    problem = ""
    if inputs is not _MISSING:
        problem = (
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    elif type(instances) is not list:
        problem = "Expecting 'instances' to be an list/array"
    elif not instances:
        problem = "No values in 'instances' array"
    if problem:
        raise InvalidArgumentError(f"JSON Value: {debug_text(document)} {problem}")
    _fill_rows(instances, wanted, request)
    return True


def _fill_columns(inputs: Any, wanted: Mapping[str, Any], request: Any) -> None:
    if type(inputs) is not JsonObject or is_base64(inputs):
        if len(wanted) > 1:
            raise InvalidArgumentError(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        inputs = JsonObject([(next(iter(wanted)), inputs)])
    for name in sorted(wanted):
        value = inputs.find(name, _MISSING)
        if value is _MISSING:
            raise InvalidArgumentError(f"Missing named input: {name} in 'inputs' object.")
        dtype, shape = wanted[name].dtype, json_values.shape_of(value)
        json_values.write(request.inputs[name], dtype, shape, json_values.read(value, shape, dtype))


def _fill_rows(instances: list[Any], wanted: Mapping[str, Any], request: Any) -> None:
    first = instances[0]
    if type(first) is not JsonObject and len(wanted) > 1:
        raise InvalidArgumentError(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    if type(first) is JsonObject and not is_base64(first):
        columns = _columns_of_objects(instances, wanted)
    else:
        columns = _columns_of_values(instances, wanted)
    for name, column in columns.items():
        shape = [len(instances), *column.shape]
        json_values.write(request.inputs[name], wanted[name].dtype, shape, column.values)


@dataclass
class _Column:
    """The values of one input, and how many, in which shape, each element has."""

    size: int = -1
    shape: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, item: Any, dtype: int) -> None:
        shape = json_values.shape_of(item)
        values = json_values.read(item, shape, dtype)
        if self.size < 0:
            self.size, self.shape = len(values), shape
        elif len(values) != self.size:
            raise InvalidArgumentError(f"Expecting tensor size: {self.size} but got: {len(values)}")
        elif shape != self.shape:
            raise InvalidArgumentError(
                f"Expecting shape {_shape_text(self.shape)} but got: {_shape_text(shape)}"
            )
        self.values += values


def _columns_of_values(instances: list[Any], wanted: Mapping[str, Any]) -> dict[str, _Column]:
    name = min(wanted)
    dtype = wanted[name].dtype
    shape = json_values.shape_of(instances)
    values = json_values.read_regular(instances, shape, dtype)
    if values is not None:
        return {name: _Column(len(values), shape[1:], values)}
    column = _Column()
    for position, item in enumerate(instances):
        if type(item) is JsonObject and not is_base64(item):
            raise InvalidArgumentError(
                f"Expecting value/list but got object at item {position} of input list"
            )
        try:
            column.add(item, dtype)
        except RequestError as error:
            raise InvalidArgumentError(
                f"Failed to process element: {position} of 'instances' list. Error: "
                f"{error.code.name}: {error}"
            ) from error
    return {name: column}


def _columns_of_objects(instances: list[Any], wanted: Mapping[str, Any]) -> dict[str, _Column]:
    columns = {name: _Column() for name in sorted(wanted)}
    for position, item in enumerate(instances):
        if type(item) is not JsonObject or is_base64(item):
            raise InvalidArgumentError(
                f"Expecting object but got list at item {position} of input list"
            )
        for name, value in item:
            try:
                if name not in columns:
                    raise InvalidArgumentError(f"JSON object: does not have named input: {name}")
                columns[name].add(value, wanted[name].dtype)
            except RequestError as error:
                raise InvalidArgumentError(
                    f"Failed to process element: {position} key: {name} of 'instances' list. "
                    f"Error: {error.code.name}: {error}"
                ) from error
        if {name for name, _ in item} != columns.keys():
            raise InvalidArgumentError(
                f"Failed to process element: {position} of 'instances' list. JSON object: "
                f"{debug_text(item)} keys must be equal to: {','.join(columns)}"
            )
    return columns


def _shape_text(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
