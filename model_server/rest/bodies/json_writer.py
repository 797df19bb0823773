"""Values -> JSON, byte for byte as TF Serving writes it with RapidJSON's PrettyWriter.

Bytes that are not UTF-8 travel as Python's surrogate escapes and leave as they came.
Source of the formats: `json_tensor.cc`, RapidJSON's `prettywriter.h` and `dtoa.h`.
"""

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from model_server.errors import InvalidArgumentError
from signs import protos, tensors

INDENT = "    "
_SPECIAL = re.compile(r'["\\\x00-\x1f]')
_SHORT_ESCAPES = {
    '"': r"\"",
    "\\": r"\\",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
}
_INTEGERS = frozenset(
    np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")
)
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_FLOATS = {np.dtype(np.float32): ".9g", np.dtype(np.float64): ".17g"}


def quote(text: str) -> str:
    """A JSON string."""
    return f'"{_SPECIAL.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return _SHORT_ESCAPES.get(character) or f"\\u{ord(character):04X}"


def to_bytes(text: str) -> bytes:
    """What is sent."""
    return text.encode("utf-8", "surrogateescape")


def error_body(message: str) -> bytes:
    """The body of an answer that is an error."""
    return to_bytes(f'{{\n{INDENT}"error": {quote(message)}\n}}')


def predictions(outputs: Mapping[str, protos.TensorProto]) -> bytes:
    """The answer to a request in row format ("instances"): one element for each row.

    Args:
        outputs: the TensorProto of each output, by name.

    Raises:
        InvalidArgumentError: an output has no rows or another number of them than the others, or
            its type has no form in JSON.
    """
    arrays = _decode(outputs)
    rows = -1
    for name, array in arrays.items():
        if array.ndim == 0:
            raise InvalidArgumentError(f"Tensor name: {name} has no shape information ")
        if rows not in (-1, len(array)):
            raise InvalidArgumentError(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {rows}"
            )
        rows = len(array)
    depth = 3 if len(arrays) > 1 else 2
    columns = {}
    for name, array in arrays.items():
        tokens = _tokens(name, array, depth + array.ndim - 1)
        for axis in range(array.ndim - 1, 0, -1):
            tokens = [f"[{', '.join(part)}]" for part in _parts(tokens, array.shape, axis)]
        columns[name] = tokens
    if rows == 0:
        text = "[]"
    elif len(columns) == 1:
        (column,) = columns.values()
        text = f"[{', '.join(column)}\n{INDENT}]"
    else:
        elements = (
            _object({name: column[row] for name, column in columns.items()}, 2)
            for row in range(rows)
        )
        text = _lines("[", elements, "]", 1)
    return to_bytes(_object({"predictions": text}, 0))


def outputs(outputs: Mapping[str, protos.TensorProto]) -> bytes:
    """The answer to a request in column format ("inputs"): each output as a whole.

    Args:
        outputs: the TensorProto of each output, by name.

    Raises:
        InvalidArgumentError: the type of an output has no form in JSON.
    """
    arrays = _decode(outputs)
    depth = 2 if len(arrays) > 1 else 1
    columns = {}
    for name, array in arrays.items():
        tokens = _tokens(name, array, depth + array.ndim)
        for axis in range(array.ndim - 1, -1, -1):
            tokens = [
                _lines("[", part, "]", depth + axis) for part in _parts(tokens, array.shape, axis)
            ]
        (columns[name],) = tokens
    text = _object(columns, 1) if len(columns) > 1 else next(iter(columns.values()))
    return to_bytes(_object({"outputs": text}, 0))


def classifications(result: protos.ClassificationResult) -> bytes:
    """The answer to :classify, from a ClassificationResult.

    Raises:
        InvalidArgumentError: it is empty.
    """
    if not result.classifications:
        raise InvalidArgumentError("Cannot convert empty ClassificationResults to JSON")
    rows = []
    for classification in result.classifications:
        classes = classification.classes
        scores = _decimals(np.array([chosen.score for chosen in classes], np.float32))
        pairs = zip(classes, scores, strict=True)
        rows.append(f"[{', '.join(f'[{quote(c.label)}, {score}]' for c, score in pairs)}]")
    return to_bytes(_object({"results": f"[{', '.join(rows)}\n{INDENT}]"}, 0))


def regressions(result: protos.RegressionResult) -> bytes:
    """The answer to :regress, from a RegressionResult.

    Raises:
        InvalidArgumentError: it is empty.
    """
    if not result.regressions:
        raise InvalidArgumentError("Cannot convert empty RegressionResults to JSON")
    values = np.array([regression.value for regression in result.regressions], np.float32)
    return to_bytes(_object({"results": f"[{', '.join(_decimals(values))}]"}, 0))


def _decode(outputs: Mapping[str, protos.TensorProto]) -> dict[str, np.ndarray]:
    if not outputs:
        raise InvalidArgumentError("Cannot convert empty tensor map to JSON")
    return {name: tensors.decode(outputs[name]) for name in sorted(outputs)}


def _parts(tokens: Sequence[str], shape: Sequence[int], axis: int) -> list[Sequence[str]]:
    """The tokens of each array along `axis`, the last axis that is still open."""
    size = shape[axis]
    return [tokens[i * size : (i + 1) * size] for i in range(math.prod(shape[:axis]))]


def _lines(opening: str, items: Iterable[str], closing: str, depth: int) -> str:
    """An array or object over several lines, which stands `depth` levels deep."""
    text = f",\n{INDENT * (depth + 1)}".join(items)
    if not text:
        return opening + closing
    return f"{opening}\n{INDENT * (depth + 1)}{text}\n{INDENT * depth}{closing}"


def _object(members: Mapping[str, str], depth: int) -> str:
    return _lines("{", (f"{quote(name)}: {text}" for name, text in members.items()), "}", depth)


def _tokens(name: str, array: np.ndarray, depth: int) -> list[str]:
    """The text of each value; `depth` levels are open around it."""
    values = array.reshape(-1)
    if array.dtype in _FLOATS:
        return _decimals(values)
    if array.dtype in _INTEGERS:
        return list(map(str, values.tolist()))
    if array.dtype == np.bool_:
        return ["true" if value else "false" for value in values.tolist()]
    if array.dtype == object:
        if name.endswith("_bytes"):
            encoded = (base64.b64encode(value).decode() for value in values)
            return [_object({"b64": f'"{text}"'}, depth) for text in encoded]
        return [quote(value.decode("utf-8", "surrogateescape")) for value in values]
    if not values.size:
        return []
    dtype = tensors.dtype_name(tensors.enum_of(array))
    raise InvalidArgumentError(f"Failed to write JSON value for tensor type: {dtype}")


def _decimals(values: np.ndarray) -> list[str]:
    """Six digits where they are enough to read the value back, else as many as are always."""
    numbers = values.tolist()
    tokens = [f"{number:g}" for number in numbers]
    with np.errstate(over="ignore"):
        exact = np.array([float(token) for token in tokens]).astype(values.dtype) == values
    full = _FLOATS[values.dtype]
    return [
        _decimal(token if same else format(number, full))
        for token, same, number in zip(tokens, exact.tolist(), numbers, strict=True)
    ]


def _decimal(token: str) -> str:
    if token in _NOT_FINITE:
        return _NOT_FINITE[token]
    return token if "." in token or "e" in token else f"{token}.0"
