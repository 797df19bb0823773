"""JSON -> the tensors of a PredictRequest, in row format ("instances") or column ("inputs").

The checks, their order and their words are those of TF Serving's `json_tensor.cc`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from model_server.errors import InvalidArgumentError, RequestError
from model_server.rest.bodies import json_values
from model_server.rest.bodies.json_reader import Json, JsonObject, shown
from model_server.rest.bodies.json_values import Value, is_base64
from signs import protos


def fill_inputs(
    document: JsonObject, wanted: Mapping[str, protos.TensorInfo], request: protos.PredictRequest
) -> bool:
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
    if "instances" in document:
        _fill_rows(_instances(document), wanted, request)
        return True
    if "inputs" not in document:
        raise InvalidArgumentError("Missing 'inputs' or 'instances' key")
    _fill_columns(document["inputs"], wanted, request)
    return False


def _instances(document: JsonObject) -> list[Json]:
    instances = document["instances"]
    if "inputs" in document:
        problem = (
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    elif not isinstance(instances, list):
        problem = "Expecting 'instances' to be an list/array"
    elif not instances:
        problem = "No values in 'instances' array"
    else:
        return instances
    raise InvalidArgumentError(f"JSON Value: {shown(document)} {problem}")


def _fill_columns(
    inputs: Json, wanted: Mapping[str, protos.TensorInfo], request: protos.PredictRequest
) -> None:
    if not isinstance(inputs, dict) or is_base64(inputs):
        if len(wanted) > 1:
            raise InvalidArgumentError(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        inputs = {next(iter(wanted)): inputs}
    for name in sorted(wanted):
        if name not in inputs:
            raise InvalidArgumentError(f"Missing named input: {name} in 'inputs' object.")
        value = inputs[name]
        dtype, shape = wanted[name].dtype, json_values.shape_of(value)
        json_values.write(request.inputs[name], dtype, shape, json_values.read(value, shape, dtype))


def _fill_rows(
    instances: list[Json], wanted: Mapping[str, protos.TensorInfo], request: protos.PredictRequest
) -> None:
    first = instances[0]
    if not isinstance(first, dict) and len(wanted) > 1:
        raise InvalidArgumentError(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    if isinstance(first, dict) and not is_base64(first):
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
    values: list[Value] = field(default_factory=list)

    def add(self, item: Json, dtype: int) -> None:
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


def _columns_of_values(
    instances: list[Json], wanted: Mapping[str, protos.TensorInfo]
) -> dict[str, _Column]:
    name = min(wanted)
    dtype = wanted[name].dtype
    shape = json_values.shape_of(instances)
    values = json_values.read_regular(instances, shape, dtype)
    if values is not None:
        return {name: _Column(len(values), shape[1:], values)}
    column = _Column()
    for position, item in enumerate(instances):
        if isinstance(item, dict) and not is_base64(item):
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


def _columns_of_objects(
    instances: list[Json], wanted: Mapping[str, protos.TensorInfo]
) -> dict[str, _Column]:
    columns = {name: _Column() for name in sorted(wanted)}
    for position, item in enumerate(instances):
        if not isinstance(item, dict) or is_base64(item):
            raise InvalidArgumentError(
                f"Expecting object but got list at item {position} of input list"
            )
        for name, value in item.items():
            try:
                if name not in columns:
                    raise InvalidArgumentError(f"JSON object: does not have named input: {name}")
                columns[name].add(value, wanted[name].dtype)
            except RequestError as error:
                raise InvalidArgumentError(
                    f"Failed to process element: {position} key: {name} of 'instances' list. "
                    f"Error: {error.code.name}: {error}"
                ) from error
        if item.keys() != columns.keys():
            raise InvalidArgumentError(
                f"Failed to process element: {position} of 'instances' list. JSON object: "
                f"{shown(item)} keys must be equal to: {','.join(columns)}"
            )
    return columns


def _shape_text(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
