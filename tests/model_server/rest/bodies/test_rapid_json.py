"""What RapidJSON takes, and what it says of the rest."""

import math

import pytest

from model_server.errors import InvalidArgumentError
from model_server.rest.bodies.rapid_json import JsonObject, parse

ERRORS = [
    (b"  ", "The document is empty.", 2),
    (b" ]", "The document is empty.", 1),
    (b"}", "The document is empty.", 0),
    (b",", "The document is empty.", 0),
    (b":", "The document is empty.", 0),
    (b"instances = [1, 2]", "Invalid value.", 0),
    (b"'a'", "Invalid value.", 0),
    (b"+1", "Invalid value.", 0),
    (b".5", "Invalid value.", 0),
    (b"-", "Invalid value.", 1),
    (b"nan", "Invalid value.", 1),
    (b"inf", "Invalid value.", 0),
    (b"Infinit", "Invalid value.", 7),
    (b"tru", "Invalid value.", 3),
    (b"falsy", "Invalid value.", 4),
    (b"[1,]", "Invalid value.", 3),
    (b"[,1]", "Invalid value.", 1),
    (b"[1,", "Invalid value.", 3),
    (b"[", "Invalid value.", 1),
    (b'{"a":}', "Invalid value.", 5),
    (b'{"a":', "Invalid value.", 5),
    (b"{", "Missing a name for object member.", 1),
    (b"{1:2}", "Missing a name for object member.", 1),
    (b'{"a":1,}', "Missing a name for object member.", 7),
    (b'{"a" 1}', "Missing a colon after a name of object member.", 5),
    (b'{"a"', "Missing a colon after a name of object member.", 4),
    (b'{"a":1 "b":2}', "Missing a comma or '}' after an object member.", 7),
    (b'{"a":[1]', "Missing a comma or '}' after an object member.", 8),
    (b"[1 2]", "Missing a comma or ']' after an array element.", 3),
    (b"[01]", "Missing a comma or ']' after an array element.", 2),
    (b"[[1]", "Missing a comma or ']' after an array element.", 4),
    (b"[1\x00]", "Missing a comma or ']' after an array element.", 2),
    (rb'"ab\q"', "Invalid escape character in string.", 3),
    (b'"a\nb"', "Invalid escape character in string.", 2),
    (b'"abc', "Missing a closing quotation mark in string.", 4),
    (b'"a\x00b"', "Missing a closing quotation mark in string.", 2),
    (rb'"\u12G4"', "Incorrect hex digit after \\u escape in string.", 1),
    (rb'"\ud800x"', "The surrogate pair in string is invalid.", 1),
    (rb'"\ud800\u0041"', "The surrogate pair in string is invalid.", 1),
    (b"[1.]", "Miss fraction part in number.", 3),
    (b"1.x", "Miss fraction part in number.", 2),
    (b"[1e]", "Miss exponent in number.", 3),
    (b"[1e+]", "Miss exponent in number.", 4),
    (b"[7, 1e309]", "Number too big to be stored in double.", 4),
    (b"[7, -1E+309]", "Number too big to be stored in double.", 4),
    (b"1" * 310, "Number too big to be stored in double.", 0),
    (b"1" * 5000 + b".5", "Number too big to be stored in double.", 0),
    (b"2" * 309 + b".", "Number too big to be stored in double.", 0),
    (b"1e" + b"9" * 5000, "Number too big to be stored in double.", 0),
]


@pytest.mark.parametrize(("document", "text", "offset"), ERRORS)
def test_errors(document, text, offset):
    with pytest.raises(InvalidArgumentError) as error:
        parse(document)
    assert str(error.value) == f"JSON Parse error: {text} at offset: {offset}"


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (b"null", None),
        (b" \t\r\ntrue", True),
        (b"[false, 0, -0, 12, -7]", [False, 0, 0, 12, -7]),
        (b"[1.5, 1e2, 2E-1, -0.25]", [1.5, 100.0, 0.2, -0.25]),
        (b"[9223372036854775807, 18446744073709551615]", [2**63 - 1, 2**64 - 1]),
        (b"[18446744073709551616, -9223372036854775809]", [2.0**64, -(2.0**63)]),
        (b"[Infinity, Inf, -Infinity, -Inf]", [math.inf, math.inf, -math.inf, -math.inf]),
        (b'{"a": {}, "b": [], "a": [{}]}', JsonObject([("a", ()), ("b", []), ("a", [()])])),
        (rb'"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"', '"\\/\b\f\n\r\té😀'),
        (b'"\xc3\xa9\xff"', "é\udcff"),
        (rb'"\udc00"', "\udced\udcb0\udc80"),
        (b"[1]garbage", [1]),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"5e-400", 0.0),
    ],
)
def test_values(document, value):
    parsed = parse(document)
    assert parsed == value
    assert type(parsed) is type(value)


def test_nan():
    assert all(map(math.isnan, parse(b"[NaN, -NaN]")))


def test_types_of_numbers():
    assert [type(number) for number in parse(b"[1, 1.0, 1e0, 18446744073709551616]")] == [
        int,
        float,
        float,
        float,
    ]


def test_depth_is_not_limited():
    value = parse(b"[" * 20_000 + b"1" + b"]" * 20_000)
    for _ in range(20_000):
        (value,) = value
    assert value == 1


def test_of_two_members_of_one_name_the_first_is_found():
    document = parse(b'{"a": 1, "a": 2}')
    assert document.find("a") == 1
    assert document.find("b", 5) == 5
