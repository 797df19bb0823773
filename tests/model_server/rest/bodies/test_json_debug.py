"""JSON values in error messages."""

import math

import pytest

from model_server.rest.bodies.json_debug import debug_text, type_name
from model_server.rest.bodies.rapid_json import parse


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"[1, 2, [3]]", "[1, 2, [3]]"),
        (b'{"a": 1, "b": [1, 2]}', '{\n    "a": 1,\n    "b": [1, 2]\n}'),
        (b'[{"a": {"b": null}}]', '[{\n        "a": {\n            "b": null\n        }\n    }]'),
        (b"[[], {}]", "[[], {}]"),
        (b"[true, false, null]", "[true, false, null]"),
        (rb'"\u0001\n\"\\/\u00e9"', r'"\u0001\n\"\\/' + 'é"'),
        (b"[NaN, 1]", "["),
        (b"[1, Infinity]", "[1, "),
        (b"Infinity", ""),
    ],
)
def test_values(document, text):
    assert debug_text(parse(document)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1.0"),
        (0.1, "0.1"),
        (-12.5, "-12.5"),
        (-0.0, "-0.0"),
        (100.0, "100.0"),
        (1e20, "100000000000000000000.0"),
        (1e21, "1e21"),
        (1.5e30, "1.5e30"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.25e-300, "1.25e-300"),
        (2**63, "9223372036854775808"),
        (2**64, "18446744073709552000.0"),
    ],
)
def test_numbers(number, text):
    assert debug_text(number) == text


def test_it_ends_behind_the_token_that_reaches_256_bytes():
    assert debug_text([1000] * 100) == "[1000" + ", 1000" * 42
    assert debug_text(["x" * 300, 1]) == '["' + "x" * 300 + '"'
    # é is two bytes: 254 are not enough, the bracket is the 255th.
    assert debug_text("é" * 126) == '"' + "é" * 126 + '"'
    assert debug_text(["é" * 126, 1]) == '["' + "é" * 126 + '", 1'


def test_endless_nesting_costs_nothing():
    assert debug_text(parse(b"[" * 10_000 + b"]" * 10_000)) == "[" * 256


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "Null"),
        (False, "False"),
        (True, "True"),
        (parse(b"{}"), "Object"),
        ([], "Array"),
        ("", "String"),
        (0, "Number"),
        (math.nan, "Number"),
    ],
)
def test_type_names(value, name):
    assert type_name(value) == name
