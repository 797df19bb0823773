"""The fast reader reads as the exact one does."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server.errors import InvalidArgumentError
from model_server.rest.bodies import json_reader, rapid_json
from model_server.rest.bodies.rapid_json import JsonObject

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def same(one, other):
    """Equal, and of equal types, but for integers beyond 64 bits."""
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, int) and isinstance(other, float):
        return float(one) == other
    return one == other and type(one) is type(other)


@given(VALUES)
def test_both_readers_agree(value):
    document = json.dumps({"a": value}).encode()
    assert same(json_reader.read(document), rapid_json.parse(document))


@given(st.binary(max_size=30))
def test_any_bytes_are_read_or_refused_alike(tail):
    document = b'{"a":[1,' + tail
    try:
        expected = rapid_json.parse(document)
    except InvalidArgumentError as error:
        with pytest.raises(InvalidArgumentError) as raised:
            json_reader.read(document)
        assert str(raised.value) == str(error)
    else:
        assert same(json_reader.read(document), expected)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b" ", "JSON Parse error: The document is empty. at offset: 1"),
        (b"[1, 2]", "JSON Value: [1, 2] Is not object"),
        (b'"a"', 'JSON Value: "a" Is not object'),
        (b"1.x", "JSON Parse error: Miss fraction part in number. at offset: 2"),
        (b'{"a":1e400}', "JSON Parse error: Number too big to be stored in double. at offset: 5"),
        (b'{"a":1E400}', "JSON Parse error: Number too big to be stored in double. at offset: 5"),
        (rb'{"a":"\ud800"}', "JSON Parse error: The surrogate pair in string is invalid. at "
         "offset: 6"),
        *(
            (b'{"a":' + number + b"}",
             "JSON Parse error: Number too big to be stored in double. at offset: 5")
            for number in (b"2" * 309, b"1" * 400, b"1" * 400 + b".5", b"1" * 5000)
        ),
    ],
)  # fmt: skip
def test_errors(body, text):
    with pytest.raises(InvalidArgumentError) as error:
        json_reader.read(body)
    assert str(error.value) == text


def test_the_largest_integers():
    digits = "1" * 308
    assert json_reader.read(f'{{"a":{digits}}}'.encode()).find("a") == int(digits)
    assert json_reader.read(f'{{"a":{digits}1}}'.encode()).find("a") == float(digits + "1")


def test_what_follows_the_document_is_ignored():
    assert json_reader.read(b' \n{"a": [1]}{') == JsonObject([("a", [1])])


def test_a_byte_order_mark_is_skipped():
    assert json_reader.read(b'\xef\xbb\xbf {"a": 1}') == JsonObject([("a", 1)])


def test_what_is_not_utf8_is_kept():
    assert (
        json_reader.read(b'{"a": "\xff"}').find("a").encode("utf-8", "surrogateescape") == b"\xff"
    )


def test_deep_nesting():
    value = json_reader.read(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}").find("a")
    depth = 0
    while value:
        (value,) = value
        depth += 1
    assert depth == 4999


def test_numbers_that_only_rapid_json_knows():
    assert json_reader.read(b'{"a": [Inf, -Inf]}').find("a") == [math.inf, -math.inf]
