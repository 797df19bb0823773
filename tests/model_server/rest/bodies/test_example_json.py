"""Examples in JSON: the kind of a feature is that of its first value."""

import pytest

from model_server.errors import InvalidArgumentError
from model_server.rest.bodies.example_json import fill_examples
from signs import protos


def filled(document):
    request = protos.ClassificationRequest()
    fill_examples(document, request)
    return request.input


def kinds(example):
    values = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        values[name] = (kind, list(getattr(feature, kind).value)) if kind else None
    return values


def test_kinds():
    (example,) = filled(
        {
            "examples": [
                {
                    "text": "é",
                    "bytes": [{"b64": "/w=="}, "x"],
                    "number": [1.5, 2.0],
                    "count": [1, True],
                    "large": 2.0**64,
                    "none": [],
                }
            ]
        }
    ).example_list.examples
    assert kinds(example) == {
        "text": ("bytes_list", ["é".encode()]),
        "bytes": ("bytes_list", [b"\xff", b"x"]),
        "number": ("float_list", [1.5, 2.0]),
        "count": ("int64_list", [1, 1]),
        "large": ("float_list", [2.0**64]),
        "none": None,
    }


def test_a_context_goes_with_all_examples():
    sent = filled({"context": {"c": 1}, "examples": [{}, {"x": 2}]}).example_list_with_context
    assert kinds(sent.context) == {"c": ("int64_list", [1])}
    assert [kinds(example) for example in sent.examples] == [{}, {"x": ("int64_list", [2])}]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, "key 'examples' is expected and was not found"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"f": None}]}, "Feature: f has element with unexpected JSON type: Null"),
        ({"examples": [{"f": {"x": 1}}]}, "f has element with unexpected JSON type: Object"),
        ({"examples": [{"f": [1, 1.5]}]}, "in feature: f expecting type: int64"),
        ({"examples": [{"f": 2**63}]}, "f has uint64_t element. Only int64_t is supported."),
    ],
)  # fmt: skip
def test_errors(document, text):
    with pytest.raises(InvalidArgumentError) as error:
        filled(document)
    assert text in str(error.value)
