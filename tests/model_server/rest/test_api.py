""":classify, :regress, status and metadata through the app."""

import json

import pytest

from tests.model_server.rest.test_predict import error

DOCUMENT = 'JSON Value: {\n    "examples": %s\n} '


# --- Classify and regress -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "body", "answer"),
    [
        (
            "classify",
            '{"signature_name":"classify","examples":[{"x":20.0}]}',
            '{\n    "results": [[["", 12.0]]\n    ]\n}',
        ),
        (
            "classify",
            '{"signature_name":"classify","examples":[{"x":0.2},{"x":[1.5, 7.0]}]}',
            '{\n    "results": [[["", 2.1]], [["", 2.75]]\n    ]\n}',
        ),
        (
            "regress",
            '{"signature_name":"regress","examples":[{"x":80.0},{"x":[10.0]}]}',
            '{\n    "results": [42.0, 7.0]\n}',
        ),
        (
            "regress",
            '{"signature_name":"regress","context":{"x":2.0},"examples":[{},{"x":4.0}]}',
            '{\n    "results": [3.0, 4.0]\n}',
        ),
        (
            "regress",
            '{"signature_name":"regress","examples":[{"x":1.0,"x":NaN,"y":[1,true,false],'
            '"z":["a",{"b64":"YQ=="}],"empty":[]}]}',
            '{\n    "results": [NaN]\n}',
        ),
    ],
)
def test_answers(client, verb, body, answer):
    got = client.post(f"m:{verb}", body)
    assert (got.status, got.body) == (200, answer)
    assert got.headers == {"content-type": "application/json"}


@pytest.mark.parametrize("verb", ["classify", "regress"])
@pytest.mark.parametrize(
    ("examples", "text"),
    [
        ("[{\"x\":[10,10.0]}]", "Unexpected element type in feature: x expecting type: int64"),
        ("[{\"x\":[1.0,2]}]", "Unexpected element type in feature: x expecting type: float"),
        ("[{\"x\":[\"a\",2]}]", "Unexpected element type in feature: x expecting type: bytes"),
        ("[{\"x\":[1.0,true]}]", "Unexpected element type in feature: x expecting type: float"),
        (
            "[{\"x\":[1.0,18446744073709551603]}]",
            "Unexpected element type in feature: x expecting type: float",
        ),
        ("[{\"x\":null}]", "Feature: x has element with unexpected JSON type: Null"),
        ("[{\"x\":[[10]]}]", "Feature: x has element with unexpected JSON type: Array"),
        ("[{\"x\":{\"test\":10}}]", "Feature: x has element with unexpected JSON type: Object"),
        (
            "[{\"x\":18446744073709551603}]",
            "Feature: x has uint64_t element. Only int64_t is supported.",
        ),
        ("[{\"x\":{\"b64\":\"!!\"}}]", "Unable to base64 decode"),
        ("[]", DOCUMENT % "[]" + "'examples' value is an empty array"),
        ("7", DOCUMENT % "7" + "Expecting 'examples' value to be an list/array"),
        ("[[1]]", "Example must be JSON object but got JSON Array"),
        ("[\"a\"]", "Example must be JSON object but got JSON String"),
    ],
)  # fmt: skip
def test_examples_that_are_none(client, verb, examples, text):
    # The model is looked up later: that there is none is not told.
    answer = client.post(f"nosuch:{verb}", f'{{"examples": {examples}}}')
    assert (answer.status, answer.body) == (400, error(text))


@pytest.mark.parametrize(
    ("target", "body", "status", "text"),
    [
        ("m:regress", "", 400, "JSON Parse error: Parse error at offset 0: The document is empty."),
        (
            "m:regress", "{}", 400,
            "JSON Value: {} When method is classify, key 'examples' is expected and was not found",
        ),
        (
            "m:regress", '{"signature_name":[],"examples":[{}]}', 400,
            'JSON Value: {\n    "signature_name": [],\n    "examples": [{}]\n} not formatted '
            "correctly. 'signature_name' key must be a string value.",
        ),
        (
            "m:regress", '{"context":[],"examples":[{}]}', 400,
            "Example must be JSON object but got JSON Array",
        ),
        ("nosuch:regress", '{"examples":[{}]}', 404,
         "Servable not found for request: Latest(nosuch)"),
        ("m:classify", '{"signature_name":"nope","examples":[{}]}', 400,
         "No signature was found with the name: nope"),
        ("m:regress", '{"signature_name":"regress","examples":[{"x":2}]}', 400,
         "Key: x. Data types don't match."),
    ],
)  # fmt: skip
def test_errors(client, target, body, status, text):
    answer = client.post(target, body)
    assert (answer.status, answer.body) == (status, error(text))


def test_a_signature_of_another_kind(client):
    answer = client.post("m:classify", '{"examples":[{"x":1.0}]}')
    assert answer.status == 400
    assert json.loads(answer.body)["error"].startswith(
        "No classification inputs found in SignatureDef: "
    )


# --- Status and metadata --------------------------------------------------------------------------

STATUS = """{
 "model_version_status": [
  {
   "version": "123",
   "state": "AVAILABLE",
   "status": {
    "error_code": "OK",
    "error_message": ""
   }
  }
 ]
}
"""


@pytest.mark.parametrize(
    "path",
    ["m", "%6D", "m/versions/123", "m/versions/00123", "m/labels/stable", "m/labels/nope",
     "m/METADATA"],
)  # fmt: skip
def test_status(client, path):
    answer = client.ask("GET", f"/v1/models/{path}")
    assert (answer.status, answer.body) == (200, STATUS)
    assert answer.headers == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("", 400, "Missing model name in request."),
        ("/", 400, "Malformed request: GET /v1/models/"),
        ("/versions/1", 400, "Missing model name in request."),
        ("/labels/x", 400, "Missing model name in request."),
        ("/versions/1/metadata", 400, "Missing model name in request."),
        ("/foo", 404, "Could not find any versions of model foo"),
        ("/m?a=b", 404, "Could not find any versions of model m?a=b"),
        ("/metadata", 404, "Could not find any versions of model metadata"),
        ("/m/versions/9", 404, "Could not find version 9 of model m"),
        ("/foo/metadata", 404, "Servable not found for request: Latest(foo)"),
        ("/m/versions/9/metadata", 404, "Servable not found for request: Specific(m, 9)"),
        ("/m/labels/nope/metadata", 400, "Unrecognized servable version label: nope"),
        ("/%ff", 404, "Could not find any versions of model \ufffd"),
    ],
)
def test_what_cannot_be_told(client, path, status, text):
    answer = client.ask("GET", f"/v1/models{path}")
    assert (answer.status, answer.body) == (status, error(text))


@pytest.mark.parametrize(
    "path", ["m/metadata", "m/versions/123/metadata", "m/labels/stable/metadata"]
)
def test_metadata(client, path):
    answer = client.ask("GET", f"/v1/models/{path}")
    assert answer.status == 200
    assert answer.body.startswith(
        '{\n"model_spec":{\n "name": "m",\n "version": "123",\n "signature_name": ""\n}\n,\n'
        '"metadata": {"signature_def": {\n "signature_def": {\n'
    )
    assert answer.body.endswith(" }\n}\n}\n}\n")
    signatures = json.loads(answer.body)["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"] == {
        "inputs": {
            "x": {
                "name": "serving_default/x:0",
                "dtype": "DT_FLOAT",
                "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
            }
        },
        "outputs": {
            "y": {
                "name": "serving_default/y:0",
                "dtype": "DT_FLOAT",
                "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
            }
        },
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    assert list(signatures["serving_default"]) == ["inputs", "outputs", "method_name", "defaults"]
    assert list(signatures["serving_default"]["inputs"]["x"]) == ["name", "dtype", "tensor_shape"]


# --- Paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/"),
        ("GET", "/v1/foo"),
        ("POST", "/v1/foo"),
        ("POST", "/V1/models/m:PREDICT"),
        ("POST", "/v1/models/m:predict?a=b"),
        ("PUT", "/v1/models/m"),
        ("DELETE", "/v1/models/m"),
        ("PATCH", "/v1/models/m"),
        ("HEAD", "/v1/models/m"),
    ],
)
def test_malformed(client, method, target):
    answer = client.ask(method, target, '{"instances":[1]}')
    assert (answer.status, answer.body) == (400, error(f"Malformed request: {method} {target}"))


@pytest.mark.parametrize("version", [2**63, 2**64 - 1, 10**30])
def test_a_version_that_is_no_int64_has_an_empty_answer(client, version):
    for method, tail in (("GET", ""), ("GET", "/metadata"), ("POST", ":predict")):
        answer = client.ask(method, f"/v1/models/m/versions/{version}{tail}", "{}")
        assert (answer.status, answer.body) == (400, "")
        assert answer.headers == {"content-type": "application/json"}
    assert client.ask("GET", f"/v1/models/m/versions/{2**63 - 1}").status == 404
