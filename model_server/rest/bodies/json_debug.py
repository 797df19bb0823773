"""JSON values as TF Serving's error messages show them (`json_tensor.cc`, RapidJSON's `dtoa.h`)."""

import contextlib
import math
from decimal import Decimal
from typing import Any

from model_server.rest.bodies.json_writer import INDENT, quote, to_bytes
from model_server.rest.bodies.rapid_json import JsonObject
from signs import protos, tensors

_DEBUG_BYTES = 256


class _FullError(Exception):
    """Enough is written."""


def debug_text(value: Any) -> str:
    """A JSON value as TF Serving's messages show it: cut behind the token that reaches 256 bytes.

    Args:
        value: as `rapid_json.parse` returns it.
    """
    text = _DebugText()
    with contextlib.suppress(_FullError):
        text.write(value, "", 0)
    return "".join(text.parts)


class _DebugText:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self._bytes = 0

    def write(self, value: Any, before: str, depth: int) -> None:
        """Writes a value: arrays on one line, each member of an object on its own."""
        if type(value) is list:
            self._put(before + "[")
            for position, item in enumerate(value):
                self.write(item, ", " if position else "", depth + 1)
            self._put("]")
        elif type(value) is JsonObject:
            self._put(before + "{")
            for position, (name, member) in enumerate(value):
                line = f"{',' if position else ''}\n{INDENT * (depth + 1)}"
                self._put(line + quote(name))
                self.write(member, ": ", depth + 1)
            self._put(f"\n{INDENT * depth}}}" if value else "}")
        elif isinstance(value, float) and not math.isfinite(value):
            self._put(before)
            raise _FullError
        else:
            self._put(before + _scalar(value))

    def _put(self, token: str) -> None:
        if self._bytes >= _DEBUG_BYTES:
            raise _FullError
        self.parts.append(token)
        self._bytes += len(to_bytes(token))


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _shortest(float(value)) if is_double(value) else str(value)


def is_double(number: int | float) -> bool:
    """Whether RapidJSON keeps a number as a double: it has a fraction, or is beyond 64 bits."""
    return isinstance(number, float) or not -(2**63) <= number < 2**64


def _shortest(number: float) -> str:
    """The shortest digits that mean this double, with RapidJSON's choice of notation."""
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    minus, text = "-" * sign, "".join(map(str, digits))
    if number == 0:
        return f"{minus}0.0"
    assert isinstance(exponent, int)
    point = len(text) + exponent  # digits before the decimal point
    if exponent >= 0 and point <= 21:
        return f"{minus}{text}{'0' * exponent}.0"
    if 0 < point <= 21:
        return f"{minus}{text[:point]}.{text[point:]}"
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    mantissa = text if len(text) == 1 else f"{text[0]}.{text[1:]}"
    return f"{minus}{mantissa}e{point - 1}"


def type_name(value: Any) -> str:
    """RapidJSON's name for the type of a value."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, int | float):
        return "Number"
    return "String" if isinstance(value, str) else "Array" if type(value) is list else "Object"


def type_name_of_tensor(dtype: int) -> str:
    """The name of a DataType in messages: "float", "int32"; for unknown numbers the number."""
    names = protos.DataType.DESCRIPTOR.values_by_number
    return tensors.dtype_name(dtype) if dtype in names else f"unknown dtype enum ({dtype})"
