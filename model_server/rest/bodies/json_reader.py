"""A request's body -> the JSON object it holds, and JSON values as error messages show them.

RapidJSON reads, the library that TF Serving uses: NaN and infinities are numbers, integers beyond
64 bits become doubles, and the last place of a double may be off by one. What is nested deeper than
Python's recursion limit is refused.
"""

import codecs
from typing import TypeAlias

import rapidjson

from model_server.errors import InvalidArgumentError

Json: TypeAlias = "bool | int | float | str | list[Json] | JsonObject | None"
JsonObject: TypeAlias = dict[str, Json]

_NUMBERS = rapidjson.NM_NATIVE | rapidjson.NM_NAN
_DECODER = rapidjson.Decoder(number_mode=_NUMBERS)
_INDENT = 4
_SHOWN_CHARS = 256


def read(body: bytes) -> JsonObject:
    """Reads a request's body, JSON in UTF-8. Of two members of one name the last counts.

    Raises:
        InvalidArgumentError: it is no JSON, or not an object.
    """
    try:
        value: Json = _DECODER(body.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or no UTF-8
        raise InvalidArgumentError(f"JSON Parse error: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"JSON Value: {shown(value)} Is not object")
    return value


def shown(value: Json) -> str:
    """A JSON value as messages show it: its first 256 characters."""
    try:
        text = rapidjson.dumps(
            value,
            ensure_ascii=False,
            indent=_INDENT,
            number_mode=_NUMBERS,
            write_mode=rapidjson.WM_SINGLE_LINE_ARRAY,
        )
    except RecursionError:
        return "(nested too deep to be shown)"
    return text[:_SHOWN_CHARS]


def type_name(value: Json) -> str:
    """RapidJSON's name for the type of a value."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, int | float):
        return "Number"
    return {str: "String", list: "Array", dict: "Object"}[type(value)]
