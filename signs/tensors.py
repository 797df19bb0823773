"""TensorProto <-> numpy, as TensorFlow's C++ `Tensor::FromProto` and `AsProtoField` do it.

A message carries its values in `tensor_content` (raw, little-endian) or in one typed `*_val` list.
In a list shorter than the shape the last value repeats (an empty list means zeros), in a longer one
the rest is ignored. Nothing here imports TensorFlow: the client decodes answers with it too.
"""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from signs import protos

# A tensor whose values are spelled out is as large as its message, but a few bytes may declare a
# shape of any size, so there is a limit to what is filled in. Of strings each repetition counts: an
# array of Python's has them once, but TensorFlow copies each.
MAX_FILLED_BYTES = 2**26
_STRING_BYTES = 24 + 8  # of TensorFlow's string beside its characters, and of a pointer to ours
_MAX_DIMENSIONS = 64  # numpy's limit; TensorFlow's is 254


class TensorError(ValueError):
    """A TensorProto that no tensor corresponds to, or an array that no TensorProto can carry."""


@dataclass(frozen=True)
class _Kind:
    """How one TensorFlow type is stored: `cell` is what one entry of `field` holds."""

    dtype: np.dtype
    field: str
    cell: np.dtype


def _kind(dtype: Any, field: str, cell: Any = None) -> _Kind:
    return _Kind(np.dtype(dtype), field, np.dtype(dtype if cell is None else cell))


_STRING = np.dtype(object)
_KINDS = {
    protos.DataType.DT_FLOAT: _kind(np.float32, "float_val"),
    protos.DataType.DT_DOUBLE: _kind(np.float64, "double_val"),
    protos.DataType.DT_HALF: _kind(np.float16, "half_val", np.uint16),
    protos.DataType.DT_INT8: _kind(np.int8, "int_val"),
    protos.DataType.DT_INT16: _kind(np.int16, "int_val"),
    protos.DataType.DT_INT32: _kind(np.int32, "int_val"),
    protos.DataType.DT_INT64: _kind(np.int64, "int64_val"),
    protos.DataType.DT_UINT8: _kind(np.uint8, "int_val"),
    protos.DataType.DT_UINT16: _kind(np.uint16, "int_val"),
    protos.DataType.DT_UINT32: _kind(np.uint32, "uint32_val"),
    protos.DataType.DT_UINT64: _kind(np.uint64, "uint64_val"),
    protos.DataType.DT_BOOL: _kind(np.bool_, "bool_val"),
    # One value is two entries: the real part, then the imaginary part.
    protos.DataType.DT_COMPLEX64: _kind(np.complex64, "scomplex_val", np.float32),
    protos.DataType.DT_COMPLEX128: _kind(np.complex128, "dcomplex_val", np.float64),
    protos.DataType.DT_STRING: _Kind(_STRING, "string_val", _STRING),
}
with contextlib.suppress(ImportError):
    import ml_dtypes  # numpy has no bfloat16; without this package there is none

    _KINDS[protos.DataType.DT_BFLOAT16] = _kind(ml_dtypes.bfloat16, "half_val", np.uint16)
_ENUMS = {kind.dtype: enum for enum, kind in _KINDS.items()}
# Fields of 4 or 8 bytes an entry: what protobuf has is copied, not made a Python float each.
_PLAIN_FIELDS = frozenset(("float_val", "double_val", "scomplex_val", "dcomplex_val"))


def dtype_name(enum: int) -> str:
    """The name TensorFlow's messages use for a DataType: "float", "int32", "string"."""
    return protos.DataType.Name(enum).removeprefix("DT_").lower()


def enum_of(array: np.ndarray) -> int:
    """The DataType of an array; object arrays are strings.

    Raises:
        TensorError: no DataType has this numpy dtype.
    """
    enum = _ENUMS.get(array.dtype)
    if enum is None:
        raise TensorError(f"no TensorFlow type for numpy dtype {array.dtype}")
    return enum


def decode(proto: protos.TensorProto) -> np.ndarray:
    """The array a TensorProto stands for; strings come as `bytes` in an object array.

    Raises:
        TensorError: a negative, unknown or impossible shape, an unsupported type, content of the
            wrong length, or a shape that declares far more values than were sent.
    """
    kind = _KINDS.get(proto.dtype)
    if kind is None:
        raise TensorError(f"unsupported type {proto.dtype}")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise TensorError(f"shape {shape} is not fully known")
    if len(shape) > _MAX_DIMENSIONS:
        raise TensorError(f"{len(shape)} dimensions, at most {_MAX_DIMENSIONS} are possible")
    count = math.prod(shape)
    if count == 0:
        return _no_values(shape, kind)
    if proto.tensor_content:
        return _from_content(proto.tensor_content, kind, count).reshape(shape)
    return _from_values(proto, kind, count).reshape(shape)


def _no_values(shape: tuple[int, ...], kind: _Kind) -> np.ndarray:
    try:
        return np.empty(shape, kind.dtype)
    except ValueError as error:  # beside the 0, sizes whose product is beyond numpy
        raise TensorError(f"shape {shape} is too large") from error


def _from_content(content: bytes, kind: _Kind, count: int) -> np.ndarray:
    if kind.dtype == _STRING:
        return _objects(_split_strings(content, count))
    if len(content) != count * kind.dtype.itemsize:
        raise TensorError(
            f"{len(content)} bytes of content for {count} values of {kind.dtype.itemsize} bytes"
        )
    return np.frombuffer(content, kind.dtype)


def _split_strings(content: bytes, count: int) -> list[bytes]:
    """`content` is `count` varint lengths, then the strings one after the other."""
    position, lengths = 0, []
    # Each takes more than the byte that it has at least.
    if count > len(content) or count * _STRING_BYTES > MAX_FILLED_BYTES + len(content):
        raise TensorError(f"{len(content)} bytes of content for {count} strings")
    for _ in range(count):
        length = shift = 0
        while True:
            if position >= len(content) or shift > 63:
                raise TensorError("content ends within the lengths of its strings")
            byte = content[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if position + sum(lengths) != len(content):
        raise TensorError("content is not as long as its strings")
    strings = []
    for length in lengths:
        strings.append(content[position : position + length])
        position += length
    return strings


def _from_values(proto: protos.TensorProto, kind: _Kind, count: int) -> np.ndarray:
    values = getattr(proto, kind.field)
    cells_per_value = 2 if kind.dtype.kind == "c" else 1
    sent = len(values) // cells_per_value
    if sent < count and (count - sent) * _filled_bytes(kind, values) > MAX_FILLED_BYTES:
        raise TensorError(f"shape declares {count} values, {sent} were sent")
    if kind.dtype == _STRING:
        strings = list(values[:count])
        return _objects(strings + [strings[-1] if strings else b""] * (count - sent))
    cells = _cells(proto, kind, count * cells_per_value)
    array = cells[: min(sent, count) * cells_per_value].view(kind.dtype)
    if sent >= count:
        return array
    filled = np.full(count, array[-1] if sent else 0, kind.dtype)
    filled[:sent] = array
    return filled


def _filled_bytes(kind: _Kind, values: Sequence[bytes]) -> int:
    """What one value costs that was not sent: the last one again."""
    if kind.dtype != _STRING:
        return kind.dtype.itemsize
    return _STRING_BYTES + (len(values[-1]) if values else 0)


def _cells(proto: protos.TensorProto, kind: _Kind, count: int) -> np.ndarray:
    """At most `count` entries of the typed field."""
    values = getattr(proto, kind.field)
    if kind.field in _PLAIN_FIELDS:
        # On the wire they lie as in memory, at the end of a message that has nothing else.
        alone = type(proto)()
        alone.CopyFrom(proto)
        alone.DiscardUnknownFields()
        for field, _ in alone.ListFields():
            if field.name != kind.field:
                alone.ClearField(field.name)
        size = len(values) * kind.cell.itemsize
        wire = alone.SerializeToString()
        return np.frombuffer(wire, kind.cell, offset=len(wire) - size)[:count]
    # Values outside the type wrap around, as the C++ cast does.
    return np.array(values[:count], _wide(kind.cell)).astype(kind.cell)


def _wide(cell: np.dtype) -> np.dtype:
    """The type in which protobuf holds the entries that become `cell`."""
    return np.dtype(np.int64) if cell.kind in "iu" and cell.itemsize < 4 else cell


def _objects(strings: list[bytes]) -> np.ndarray:
    array = np.empty(len(strings), object)
    array[:] = strings
    return array


def encode(array: np.ndarray, proto: protos.TensorProto, *, as_content: bool = False) -> None:
    """Writes `array` into the empty TensorProto `proto`, in its typed field.

    Args:
        array: any supported dtype; an object array holds `bytes`.
        proto: the message to fill.
        as_content: use `tensor_content` instead.

    Raises:
        TensorError: no DataType has this numpy dtype.
    """
    proto.dtype = enum_of(array)
    kind = _KINDS[proto.dtype]
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    flat = np.ascontiguousarray(array).reshape(-1)
    if as_content:
        proto.tensor_content = (
            _join_strings(flat.tolist()) if kind.dtype == _STRING else flat.tobytes()
        )
    elif kind.field in _PLAIN_FIELDS and flat.size:
        number = proto.DESCRIPTOR.fields_by_name[kind.field].number
        proto.MergeFromString(_varint(number << 3 | 2) + _varint(flat.nbytes) + flat.tobytes())
    else:
        cells = flat if kind.cell == kind.dtype else flat.view(kind.cell)
        getattr(proto, kind.field).extend(cells.tolist())


def _join_strings(strings: list[bytes]) -> bytes:
    """The lengths as varints, then the strings one after the other."""
    return b"".join([*(_varint(len(string)) for string in strings), *strings])


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
