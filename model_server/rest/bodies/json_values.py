"""JSON values <-> the values of tensors: which of them a type takes, and how they are kept.

Regular arrays of numbers are read level by level; the rest is walked value by value, which also
finds what is wrong first. Checks and words are those of TF Serving's `json_tensor.cc`.
"""

import binascii
import math
import string
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeAlias, TypeGuard, cast

import numpy as np

from model_server.errors import InvalidArgumentError, UnimplementedError
from model_server.rest.bodies.json_reader import Json, JsonObject, shown, type_name
from signs import protos, tensors

Value: TypeAlias = bool | int | float | bytes  # what a tensor is made of

_T = protos.DataType
# The smallest and largest number that is taken, and the type that is kept: TF Serving checks narrow
# integers as int32, and cuts off what is too much.
_INT32 = (-(2**31), 2**31 - 1)
_INTEGERS = {
    _T.DT_INT8: (*_INT32, np.int8),
    _T.DT_INT16: (*_INT32, np.int16),
    _T.DT_INT32: (*_INT32, np.int32),
    _T.DT_INT64: (-(2**63), 2**63 - 1, np.int64),
    _T.DT_UINT8: (*_INT32, np.uint8),
    _T.DT_UINT32: (0, 2**32 - 1, np.uint32),
    _T.DT_UINT64: (0, 2**64 - 1, np.uint64),
}
_FLOATS = {_T.DT_FLOAT: np.float32, _T.DT_DOUBLE: np.float64}
_NUMBERS = {int, float}
_SPACES = string.whitespace.encode()


def is_base64(value: Json) -> TypeGuard[JsonObject]:
    """Whether a value is bytes in JSON: an object of one member "b64", a string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64(value: JsonObject) -> bytes:
    """The bytes of a value for which `is_base64` holds; white space is free, padding all or none.

    Raises:
        InvalidArgumentError: it is not base64.
    """
    text = str(value["b64"]).encode().translate(None, _SPACES)
    digits = text.rstrip(b"=.")
    padding = -len(digits) % 4
    try:
        if padding == 3 or len(text) - len(digits) not in (0, padding):
            raise binascii.Error
        return binascii.a2b_base64(digits + b"=" * padding, strict_mode=True)
    except binascii.Error:
        raise InvalidArgumentError("Unable to base64 decode") from None


def shape_of(value: Json) -> list[int]:
    """The shape of an array, if it is regular: the lengths of its first elements."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def read(value: Json, shape: Sequence[int], dtype: int) -> list[Value]:
    """The values of an array; strings as bytes.

    Raises:
        RequestError: it is not regular, or a value does not have this type.
    """
    values = read_regular(value, shape, dtype)
    if values is None:
        values = [_convert(leaf, dtype) for leaf in _leaves(value, shape)]
    return values


def read_regular(value: Json, shape: Sequence[int], dtype: int) -> list[Value] | None:
    """The values of an array of numbers; None if something is wrong with it, or it has strings."""
    level = [value]
    for size in shape:
        if any(type(item) is not list or len(item) != size for item in level):
            return None
        level = list(chain.from_iterable(cast(list[list[Json]], level)))
    types = set(map(type, level))
    values = cast(list[Value], level)
    if dtype in _FLOATS:
        return values if types <= _NUMBERS else None
    if dtype == _T.DT_BOOL:
        return values if types <= {bool} else None
    if dtype in _INTEGERS and types == {int}:
        low, high, _ = _INTEGERS[dtype]
        numbers = cast(list[int], level)
        return values if low <= min(numbers) and max(numbers) <= high else None
    return None


def _leaves(value: Json, shape: Sequence[int]) -> Iterator[Json]:
    """The values of an array in order, up to where it is not regular."""
    rank = len(shape)
    levels = [iter([value])]
    while levels:
        level = len(levels) - 1
        try:
            item = next(levels[-1])
        except StopIteration:
            levels.pop()
            continue
        if not isinstance(item, list):
            if level != rank:
                raise InvalidArgumentError(
                    f"JSON Value: {shown(item)} found at incorrect level: {level + 1} in the "
                    f"JSON DOM. Expected at level: {rank}"
                )
            yield item
        elif level >= rank:
            raise InvalidArgumentError(
                f"Encountered list at unexpected level: {level} expected < {rank}"
            )
        elif len(item) != shape[level]:
            raise InvalidArgumentError(
                f"Encountered list at unexpected size: {len(item)} at level: {level} "
                f"expected size: {shape[level]}"
            )
        else:
            levels.append(iter(item))


def _convert(value: Json, dtype: int) -> Value:
    if isinstance(value, dict):
        if dtype != _T.DT_STRING:
            raise _type_error(value, dtype)
        if not is_base64(value):
            raise InvalidArgumentError(
                f"JSON Value: {shown(value)} not formatted correctly for base64 data"
            )
        return decode_base64(value)
    if dtype == _T.DT_STRING:
        if isinstance(value, str):
            return value.encode()
    elif dtype == _T.DT_BOOL:
        if isinstance(value, bool):
            return value
    elif dtype in _FLOATS:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    elif dtype in _INTEGERS:
        low, high, _ = _INTEGERS[dtype]
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
    else:
        raise UnimplementedError(
            f"Conversion of JSON Value: {shown(value)} to type: {_dtype_name(dtype)}"
        )
    raise _type_error(value, dtype)


def _type_error(value: Json, dtype: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"JSON Value: {shown(value)} Type: {type_name(value)} is not of expected type: "
        f"{_dtype_name(dtype)}"
    )


def _dtype_name(dtype: int) -> str:
    """The name of a DataType in messages: "float", "int32"; for unknown numbers the number."""
    known = dtype in protos.DataType.DESCRIPTOR.values_by_number
    return tensors.dtype_name(dtype) if known else f"unknown dtype enum ({dtype})"


def write(
    proto: protos.TensorProto, dtype: int, shape: Sequence[int], values: Sequence[Value]
) -> None:
    """Fills a TensorProto; more values than the shape has are left out."""
    values = values[: math.prod(shape)]
    proto.dtype = dtype
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    if dtype == _T.DT_STRING:
        proto.string_val.extend(cast(Sequence[bytes], values))
    elif dtype in _FLOATS:
        with np.errstate(over="ignore"):
            doubles = np.array(values, np.float64)
            proto.tensor_content = doubles.astype(_FLOATS[dtype]).tobytes()
    elif dtype == _T.DT_BOOL:
        proto.tensor_content = np.array(values, np.bool_).tobytes()
    elif dtype in _INTEGERS:
        _, high, kept = _INTEGERS[dtype]
        wide = np.uint64 if high > 2**63 else np.int64
        proto.tensor_content = np.array(values, wide).astype(kept).tobytes()
