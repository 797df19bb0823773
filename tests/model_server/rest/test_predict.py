""":predict through the app: bodies in, bodies out, byte for byte."""

import base64
import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def error(text):
    return f'{{\n    "error": {json.dumps(text, ensure_ascii=False)}\n}}'


# --- Answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (
            '{"instances":[[1.0,2.0],[3.0,4.0]]}',
            '{\n    "predictions": [[2.5, 3.0], [3.5, 4.0]\n    ]\n}',
        ),
        ('{"instances":[1.0,2.0,5.0]}', '{\n    "predictions": [2.5, 3.0, 4.5\n    ]\n}'),
        ('{"instances":[{"x":1.0},{"x":2.0}]}', '{\n    "predictions": [2.5, 3.0\n    ]\n}'),
        ('{"instances":[[]]}', '{\n    "predictions": [[]\n    ]\n}'),
        ('{"instances":[1],"signature_name":"","zzz":{}}', '{\n    "predictions": [2.5\n    ]\n}'),
        (
            '{"instances":[NaN,Infinity,-Infinity,1e39]}',
            '{\n    "predictions": [NaN, Infinity, -Infinity, Infinity\n    ]\n}',
        ),
        ('{"inputs":[3.0,4.0]}', '{\n    "outputs": [\n        3.5,\n        4.0\n    ]\n}'),
        (
            '{"inputs":[[3],[4]]}',
            '{\n    "outputs": [\n        [\n            3.5\n        ],\n'
            "        [\n            4.0\n        ]\n    ]\n}",
        ),
        (
            '{"inputs":{"x":[1,2],"zzz":9}}',
            '{\n    "outputs": [\n        2.5,\n        3.0\n    ]\n}',
        ),
        ('{"inputs":6}', '{\n    "outputs": 5.0\n}'),
        ('{"inputs":[]}', '{\n    "outputs": []\n}'),
        ('{"inputs":[[],[]]}', '{\n    "outputs": [\n        [],\n        []\n    ]\n}'),
        (
            '{"signature_name":"two","instances":[{"a":[1,2],"b":3},{"b":5,"a":[3,4]}]}',
            '{\n    "predictions": [\n'
            '        {\n            "b_again": 3,\n            "sum": [4.0, 5.0]\n        },\n'
            '        {\n            "b_again": 5,\n            "sum": [8.0, 9.0]\n        }\n'
            "    ]\n}",
        ),
        (
            '{"signature_name":"two","inputs":{"a":[[1]],"b":[3]}}',
            '{\n    "outputs": {\n        "b_again": [\n            3\n        ],\n'
            '        "sum": [\n            [\n                4.0\n            ]\n        ]\n'
            "    }\n}",
        ),
        ('{"signature_name":"scalar","inputs":[1,2]}', '{\n    "outputs": 3.0\n}'),
        (
            '{"signature_name":"uneven","inputs":[1]}',
            '{\n    "outputs": {\n        "a": [\n            1.0\n        ],\n'
            '        "b": [\n            1.0,\n            1.0\n        ]\n    }\n}',
        ),
        (
            '{"signature_name":"raw","instances":["hello",{"b64":"d29ybGQ="}]}',
            '{\n    "predictions": [{\n            "b64": "aGVsbG8="\n        }, {\n'
            '            "b64": "d29ybGQ="\n        }\n    ]\n}',
        ),
        (
            '{"signature_name":"raw","inputs":{"b64":"aGVsbG8"}}',
            '{\n    "outputs": {\n        "b64": "aGVsbG8="\n    }\n}',
        ),
        (
            '{"signature_name":"raw","inputs":[{"b64":" a G\\n Vs bG8. "}]}',
            '{\n    "outputs": [\n        {\n            "b64": "aGVsbG8="\n        }\n    ]\n}',
        ),
        (
            '{"signature_name":"echo_string","instances":["a\\"\\\\/\\u0001\\n\\u007fé"]}',
            '{\n    "predictions": ["a\\"\\\\/\\u0001\\n\x7fé"\n    ]\n}',
        ),
        (
            '{"signature_name":"echo_bool","instances":[[true],[false]]}',
            '{\n    "predictions": [[true], [false]\n    ]\n}',
        ),
    ],
)  # fmt: skip
def test_answers(client, body, answer):
    got = client.post("m:predict", body)
    assert got.body == answer
    assert got.status == 200
    assert got.headers == {"content-type": "application/json"}


@pytest.mark.parametrize(
    "target", ["m:predict", "m/versions/123:predict", "m/versions/000123:predict", "%6d:predict",
               "m/labels/stable:predict"],
)  # fmt: skip
def test_ways_to_name_the_model(client, target):
    assert client.post(target, '{"instances":[1]}').status == 200


@pytest.mark.parametrize(
    ("signature", "sent", "received"),
    [
        ("float", "[1, -2, 0.1, 1e10, 3e-5, 16777217, -0, -0.0, 1e-60]",
         "[1.0, -2.0, 0.1, 1e+10, 3e-05, 16777216.0, 0.0, -0.0, 0.0"),
        ("double", "[1, 0.1, 0.3333333333333333, 123456.7, 1e300]",
         "[1.0, 0.1, 0.33333333333333331, 123456.7, 1e+300"),
        ("int8", "[127, 200, -129]", "[127, -56, 127"),
        ("int16", "[65535, 2147483647]", "[-1, -1"),
        ("int32", "[2147483647, -2147483648, -0]", "[2147483647, -2147483648, 0"),
        ("int64", "[9223372036854775807, -9223372036854775808]",
         "[9223372036854775807, -9223372036854775808"),
        ("uint8", "[255, 300, -1]", "[255, 44, 255"),
        ("uint32", "[4294967295]", "[4294967295"),
        ("uint64", "[18446744073709551615]", "[18446744073709551615"),
    ],
)  # fmt: skip
def test_numbers(client, signature, sent, received):
    body = f'{{"signature_name":"echo_{signature}","instances":{sent}}}'
    assert client.post("m:predict", body).body == f'{{\n    "predictions": {received}\n    ]\n}}'


def test_bytes_that_are_not_utf8_come_back_as_they_are(client):
    answer = client.post("m:predict", '{"signature_name":"echo_string","inputs":{"b64":"/8M="}}')
    assert answer.body == '{\n    "outputs": "\udcff\udcc3"\n}'


# --- Errors ---------------------------------------------------------------------------------------

ELEMENT = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: {}"
KEY = "Failed to process element: {} key: {} of 'instances' list. Error: INVALID_ARGUMENT: {}"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        # The document
        ("", "JSON Parse error: Parse error at offset 0: The document is empty."),
        ("x", "JSON Parse error: Parse error at offset 0: Invalid value."),
        ('{"instances":[1,]}', "JSON Parse error: Parse error at offset 16: Invalid value."),
        (
            '{"instances":[1e400]}',
            "JSON Parse error: Parse error at offset 14: Number too big to be stored in double.",
        ),
        ("[1]", "JSON Value: [1] Is not object"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        (
            '{"signature_name":100,"instances":[1]}',
            'JSON Value: {\n    "signature_name": 100,\n    "instances": [1]\n} not formatted '
            "correctly. 'signature_name' key must be a string value.",
        ),
        (
            '{"signature_name":"nope","instances":[1]}',
            'Serving signature name: "nope" not found in signature def',
        ),
        (
            '{"signature_name":"nothing","instances":[1]}',
            "Failed to get input map for signature: nothing",
        ),
        (
            '{"instances":[1],"inputs":[1]}',
            'JSON Value: {\n    "instances": [1],\n    "inputs": [1]\n} Not formatted correctly '
            "expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
        (
            '{"instances":5}',
            "JSON Value: {\n    \"instances\": 5\n} Expecting 'instances' to be an list/array",
        ),
        (
            '{"instances":[]}',
            "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
        ),
        # Rows
        (
            '{"instances":["x"]}',
            ELEMENT.format(
                0, 'JSON Value: "x" Type: String is not of expected type: float'
            ),
        ),
        (
            '{"instances":[1,null]}',
            ELEMENT.format(1, "JSON Value: null Type: Null is not of expected type: float"),
        ),
        ('{"instances":[[1,2],[3]]}', ELEMENT.format(1, "Expecting tensor size: 2 but got: 1")),
        ('{"instances":[[],[1]]}', ELEMENT.format(1, "Expecting tensor size: 0 but got: 1")),
        (
            '{"instances":[[1,2],[[3,4]]]}',
            ELEMENT.format(1, "Expecting shape [2] but got: [1,2]"),
        ),
        ('{"instances":[1,[1]]}', ELEMENT.format(1, "Expecting shape [] but got: [1]")),
        (
            '{"instances":[[[1],[2]],[[1],2]]}',
            ELEMENT.format(
                1,
                "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
            ),
        ),
        (
            '{"instances":[1,{"x":1}]}',
            "Expecting value/list but got object at item 1 of input list",
        ),
        ('{"instances":[{"x":1},1]}', "Expecting object but got list at item 1 of input list"),
        (
            '{"instances":[{"x":1},{"b64":"aa"}]}',
            "Expecting object but got list at item 1 of input list",
        ),
        (
            '{"instances":[{}]}',
            "Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal "
            "to: x",
        ),
        (
            '{"instances":[{"x":1,"zzz":2}]}',
            KEY.format(0, "zzz", "JSON object: does not have named input: zzz"),
        ),
        (
            '{"signature_name":"two","instances":[{"a":1}]}',
            "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": 1\n} "
            "keys must be equal to: a,b",
        ),
        (
            '{"signature_name":"two","instances":[{"a":1,"b":1},{"a":1,"b":1.0}]}',
            KEY.format(1, "b", "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ),
        (
            '{"signature_name":"two","instances":[1]}',
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map",
        ),
        (
            '{"signature_name":"raw","instances":[{"b64":"!!"}]}',
            ELEMENT.format(0, "Unable to base64 decode"),
        ),
        (
            '{"signature_name":"echo_half","instances":[1.0]}',
            "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: Conversion of "
            "JSON Value: 1.0 to type: half",
        ),
        (
            '{"instances":[{"b64":"aa"}]}',
            ELEMENT.format(
                0,
                'JSON Value: {\n    "b64": "aa"\n} Type: Object is not of expected type: float',
            ),
        ),
        # Columns
        ('{"inputs":["x"]}', 'JSON Value: "x" Type: String is not of expected type: float'),
        ('{"inputs":null}', "JSON Value: null Type: Null is not of expected type: float"),
        ('{"inputs":{}}', "Missing named input: x in 'inputs' object."),
        ('{"inputs":{"y":1}}', "Missing named input: x in 'inputs' object."),
        (
            '{"signature_name":"two","inputs":[1]}',
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map",
        ),
        (
            '{"inputs":[[1,2],[3]]}',
            "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
        ),
        ('{"inputs":[1,[2]]}', "Encountered list at unexpected level: 1 expected < 1"),
        (
            '{"inputs":[[1],2]}',
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        (
            '{"signature_name":"raw","inputs":[{"b64":5}]}',
            'JSON Value: {\n    "b64": 5\n} not formatted correctly for base64 data',
        ),
        (
            '{"signature_name":"echo_int32","inputs":[NaN]}',
            "JSON Value: NaN Type: Number is not of expected type: int32",
        ),
        # Results
        (
            '{"signature_name":"scalar","instances":[1]}',
            "Tensor name: s has no shape information ",
        ),
        (
            '{"signature_name":"uneven","instances":[1]}',
            "Tensor name: b has inconsistent batch size: 2 expecting: 1",
        ),
    ],
)  # fmt: skip
def test_errors(client, body, text):
    answer = client.post("m:predict", body)
    assert answer.body == error(text)
    assert answer.status == 400
    assert answer.headers == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("target", "body", "status", "text"),
    [
        ("foo:predict", '{"instances":[1]}', 404, "Servable not found for request: Latest(foo)"),
        (
            "foo/versions/50:predict", '{"instances":[1]}', 404,
            "Servable not found for request: Specific(foo, 50)",
        ),
        ("foo:predict", "x", 400, "JSON Parse error: Parse error at offset 0: Invalid value."),
        ("foo:predict", "{}", 404, "Servable not found for request: Latest(foo)"),
        (
            "m/labels/nope:predict", '{"instances":[1]}', 400,
            "Unrecognized servable version label: nope",
        ),
        (
            "m:predict", '{"signature_name":"echo_half","inputs":1.0}', 501,
            "Conversion of JSON Value: 1.0 to type: half",
        ),
        (
            "m:predict", '{"signature_name":"fail","instances":[1]}', 500,
            'no "luck"\n\t [[{{node y}}]]',
        ),
        (
            "m:predict", '{"signature_name":"bug","instances":[1]}', 500,
            "Internal error; the server's log says more",
        ),
    ],
)  # fmt: skip
def test_errors_of_other_kinds(client, target, body, status, text):
    answer = client.post(target, body)
    assert (answer.status, answer.body) == (status, error(text))


@pytest.mark.parametrize(
    ("signature", "value"),
    [
        ("int32", "1.0"), ("int32", "1e2"), ("int32", "2147483648"), ("uint8", "4294967296"),
        ("int64", "9223372036854775808"), ("uint32", "-1"), ("uint32", "4294967296"),
        ("uint64", "-1"), ("uint64", "1.5"), ("bool", "1"), ("string", "1"), ("float", "true"),
        ("double", '"1"'),
    ],
)  # fmt: skip
def test_values_of_the_wrong_type(client, signature, value):
    answer = client.post("m:predict", f'{{"signature_name":"echo_{signature}","inputs":{value}}}')
    kind = {"true": "True", '"1"': "String"}.get(value, "Number")
    shown = {"1e2": "100.0"}.get(value, value)
    assert answer.body == error(
        f"JSON Value: {shown} Type: {kind} is not of expected type: {signature}"
    )


@pytest.mark.parametrize(
    "text", ["!!", "Y", "YQ=", "YQ===", "YWJj=", "=", "YQ==YQ==", "YQ-_", "YQ\\u00a0==", "é"]
)
def test_what_is_no_base64(client, text):
    answer = client.post("m:predict", f'{{"signature_name":"raw","inputs":{{"b64":"{text}"}}}}')
    assert (answer.status, answer.body) == (400, error("Unable to base64 decode"))


def test_outputs_without_a_form_in_json(client):
    body = '{"signature_name":"echo_half","instances":[[]]}'
    # Without values nothing is refused: neither on the way in, nor out.
    assert client.post("m:predict", body).body == '{\n    "predictions": [[]\n    ]\n}'


def test_shown_values_are_cut(client):
    answer = client.post("m:predict", json.dumps({"x": [1000] * 100, "inputs": 1, "instances": 1}))
    shown = '{\n    "x": [1000' + ", 1000" * 40
    assert answer.body == error(
        f"JSON Value: {shown} Not formatted correctly expecting only one of 'inputs' or "
        "'instances' keys to exist "
    )


def test_more_dimensions_than_a_tensor_can_have(client):
    depth = 500
    answer = client.post("m:predict", '{"inputs":' + "[" * depth + "1" + "]" * depth + "}")
    assert (answer.status, answer.body) == (400, error("tensor parsing error: x"))


# --- Bodies ---------------------------------------------------------------------------------------


def test_gzip(client):
    body = gzip.compress(b'{"instances":[1]}')
    empty = error("JSON Parse error: Parse error at offset 0: The document is empty.")
    assert client.post("m:predict", body, content_encoding="gzip").status == 200
    assert client.post("m:predict", body, content_encoding="x, gzip").status == 200
    assert client.post("m:predict", '{"instances":[1]}', content_encoding="gzip").body == empty
    for broken in (body[:-1], body + b"x", body[:-5] + b"xxxxx", body + body):
        assert client.post("m:predict", broken, content_encoding="gzip").body == empty
    assert "can't decode byte 0x8b" in client.post("m:predict", body).body
    assert "can't decode byte 0x8b" in client.post("m:predict", body, content_encoding="GZIP").body


def test_a_body_that_inflates_beyond_100_mib_counts_as_empty(client):
    at_most = gzip.compress(b'{"instances":[1]}' + b" " * (100 * 2**20 - 17), 1)
    assert client.post("m:predict", at_most, content_encoding="gzip").status == 200
    too_much = gzip.compress(b'{"instances":[1]}' + b" " * (100 * 2**20 - 16), 1)
    answer = client.post("m:predict", too_much, content_encoding="gzip")
    assert answer.body == error("JSON Parse error: Parse error at offset 0: The document is empty.")


def test_an_image_as_lists(client):
    image = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    answer = client.post("m:predict", json.dumps({"instances": image.tolist()}))
    np.testing.assert_array_equal(
        np.array(json.loads(answer.body)["predictions"], np.float32),
        image / np.float32(2) + np.float32(2),
    )


# --- Whatever is sent -----------------------------------------------------------------------------

VALUES = {
    "float": st.floats(width=32),
    "double": st.floats(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "bool": st.booleans(),
    "string": st.text(),
}


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(sorted(VALUES)), st.lists(st.integers(0, 3), max_size=3))
def test_what_is_echoed_is_what_was_sent(client, data, kind, shape):
    def fill(sizes):
        if not sizes:
            return data.draw(VALUES[kind])
        return [fill(sizes[1:]) for _ in range(sizes[0])]

    value = fill(shape)
    body = json.dumps({"signature_name": f"echo_{kind}", "inputs": value})
    answer = json.loads(client.post("m:predict", body).body)["outputs"]
    if kind == "float":  # nine digits tell floats apart, but are not all that a double has
        answer, value = (np.array(v, np.float32).tolist() for v in (answer, value))
    if kind == "double":  # RapidJSON may be off by one in the last place
        np.testing.assert_allclose(answer, value, rtol=1e-15, atol=1e-307)
    else:
        assert json.dumps(answer) == json.dumps(value)  # also of NaN and -0.0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_bytes_come_back(client, strings):
    encoded = [{"b64": base64.b64encode(string).decode()} for string in strings]
    body = json.dumps({"signature_name": "raw", "instances": encoded})
    assert json.loads(client.post("m:predict", body).body) == {"predictions": encoded}
