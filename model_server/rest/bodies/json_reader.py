"""A request's body -> the JSON object it holds, as RapidJSON would read it, but fast.

Python's reader is written in C and reads nearly all documents as RapidJSON does. Where the two
differ, the document is given to `rapid_json`, which also has the texts of all errors.
"""

import json
import re
from typing import Any

from model_server.errors import InvalidArgumentError
from model_server.rest.bodies import rapid_json
from model_server.rest.bodies.json_debug import debug_text
from model_server.rest.bodies.rapid_json import JsonObject

_DECODER = json.JSONDecoder(object_pairs_hook=JsonObject)
_SPACE = re.compile(r"[ \t\r\n]*")
# What Python takes and RapidJSON may not: exponents beyond a double, halves of surrogate pairs.
# (One pattern each: a search for what starts with a fixed byte takes a tenth of the time.)
_UNUSUAL = [re.compile(p) for p in (rb"e\+?\d\d\d", rb"E\+?\d\d\d", rb"\\u[dD][89a-fA-F]")]
# A number of so many digits may be too large for a double.
_MANY_DIGITS = b"0" * 309
_ALL_DIGITS_0 = bytes.maketrans(b"123456789", b"000000000")


def read(body: bytes) -> JsonObject:
    """Reads a request's body.

    Returns:
        The members of the object; see `rapid_json.parse` for the types of values. Integers beyond
        64 bits stay integers here, but none is beyond a double.

    Raises:
        InvalidArgumentError: it is no JSON, or not an object.
    """
    if not body:
        raise InvalidArgumentError("JSON Parse error: The document is empty")
    value = _read(body)
    if type(value) is not JsonObject:
        # Python would take "1.x" for 1.
        value = rapid_json.parse(body)
        raise InvalidArgumentError(f"JSON Value: {debug_text(value)} Is not object")
    return value


def _read(body: bytes) -> Any:
    if _MANY_DIGITS in body.translate(_ALL_DIGITS_0) or any(p.search(body) for p in _UNUSUAL):
        return rapid_json.parse(body)
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    space = _SPACE.match(text)
    try:
        return _DECODER.raw_decode(text, space.end() if space else 0)[0]
    except (ValueError, RecursionError):
        return rapid_json.parse(body)
