"""What is taken for a request's body, and how values are shown in messages."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server.errors import InvalidArgumentError
from model_server.rest.bodies.json_reader import read, shown, type_name

INTEGERS = st.integers(-(2**63), 2**64 - 1)
# Of doubles with many digits the last place may be off by one.
FLOATS = st.integers(-4000, 4000).map(lambda number: number / 8)
SCALARS = st.none() | st.booleans() | INTEGERS | FLOATS | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_what_python_writes_is_read(value):
    assert read(json.dumps({"a": value}).encode()) == {"a": value}


@given(st.binary(max_size=30))
def test_any_bytes_are_read_or_refused(tail):
    try:
        assert read(b'{"a":[1,' + tail)["a"][0] == 1
    except InvalidArgumentError as error:
        assert str(error).startswith("JSON Parse error: ")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "JSON Parse error: Parse error at offset 0: The document is empty."),
        (b"[1, 2]", "JSON Value: [1, 2] Is not object"),
        (b'"a"', 'JSON Value: "a" Is not object'),
        (b'{"a":1.x}', "JSON Parse error: Parse error at offset 7: Miss fraction part in number."),
        (
            rb'{"a":"\ud800"}',
            "JSON Parse error: Parse error at offset 6: The surrogate pair in string is invalid.",
        ),
        (
            b'{"a": 1}{',
            "JSON Parse error: Parse error at offset 8: The document root must not be followed by "
            "other values.",
        ),
        (
            b'{"a": "\xff"}',
            "JSON Parse error: 'utf-8' codec can't decode byte 0xff in position 7: invalid start "
            "byte",
        ),
        *(
            (
                b'{"a":' + number + b"}",
                "JSON Parse error: Parse error at offset 5: Number too big to be stored in double.",
            )
            for number in (b"1e400", b"2" * 309, b"1" * 5000)
        ),
    ],
)
def test_errors(body, text):
    with pytest.raises(InvalidArgumentError) as error:
        read(body)
    assert str(error.value) == text


def test_numbers():
    numbers = read(b'{"a": [18446744073709551615, 18446744073709551616, 1.0, 1e-400]}')["a"]
    assert numbers == [2**64 - 1, 2.0**64, 1.0, 0.0]
    assert [type(number) for number in numbers] == [int, float, float, float]
    infinite = read(b'{"a": [NaN, Infinity, -Infinity]}')["a"]
    assert math.isnan(infinite[0])
    assert infinite[1:] == [math.inf, -math.inf]


def test_of_two_members_of_one_name_the_last_counts():
    assert read(b'{"a": 1, "a": 2}') == {"a": 2}


def test_a_byte_order_mark_is_skipped():
    assert read(b'\xef\xbb\xbf {"a": 1}') == {"a": 1}


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_no_depth_ends_the_process(opening):
    with pytest.raises(InvalidArgumentError, match="Maximum parse recursion depth exceeded"):
        read(opening * 1_000_000)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 2, [3]], "[1, 2, [3]]"),
        ({"a": 1, "b": [1, 2]}, '{\n    "a": 1,\n    "b": [1, 2]\n}'),
        ([True, None, "é\n", 0.5], '[true, null, "é\\n", 0.5]'),
        ([math.nan], "[NaN]"),
        (["x" * 300], '["' + "x" * 254),
    ],
)
def test_shown(value, text):
    assert shown(value) == text


def test_what_is_nested_too_deep_is_not_shown():
    value = []
    for _ in range(100_000):
        value = [value]
    assert shown(value) == "(nested too deep to be shown)"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "Null"),
        (False, "False"),
        (True, "True"),
        ({}, "Object"),
        ([], "Array"),
        ("", "String"),
        (0, "Number"),
        (math.nan, "Number"),
    ],
)
def test_type_names(value, name):
    assert type_name(value) == name
