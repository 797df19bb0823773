"""JSON as KFP's Go code writes it: containers and cache keys hold these bytes.

Go writes whole numbers without a fraction where Python's protobuf writes `3.0`, and packs lines.
"""

import json
from decimal import Decimal

from google.protobuf import json_format, struct_pb2
from google.protobuf.message import Message
from pydantic import JsonValue


def dump_message(message: Message) -> str:
    """A message, as protojson.Marshal writes it (whose spaces are random: here there are none)."""
    return _pack(whole(json_format.MessageToDict(message)))


def dump_canonical(value: JsonValue) -> str:
    """A value as encoding/json writes it: keys sorted, HTML's and line separators escaped."""
    text = _pack(whole(value), sort_keys=True)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def whole(value: JsonValue) -> JsonValue:
    """The same value, its numbers without a fraction made integers."""
    match value:
        case dict():
            return {key: whole(item) for key, item in value.items()}
        case list():
            return [whole(item) for item in value]
        case float() if value.is_integer() and abs(value) < 1e21:
            return int(value)
    return value


def value_text(value: struct_pb2.Value) -> str:
    """A parameter as text (metadata/converter.go, PbValueToText)."""
    match value.WhichOneof("kind"):
        case None | "null_value":
            return ""
        case "string_value":
            return value.string_value
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "number_value":
            return f"{Decimal(repr(value.number_value)):f}".removesuffix(".0")
        case _:
            return dump_canonical(json_format.MessageToDict(value))


def _pack(value: JsonValue, *, sort_keys: bool = False) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=sort_keys)
