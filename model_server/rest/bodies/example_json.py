"""JSON -> the examples of a ClassificationRequest or RegressionRequest.

    {"context": {feature: value}, "examples": [{feature: value or [value, ...]}, ...]}

The kind of a feature is that of its first value, not what the model expects. The checks, their
order and their words are those of TF Serving's `json_tensor.cc`.
"""

from typing import Any

from model_server.errors import InvalidArgumentError
from model_server.rest.bodies.json_debug import debug_text, is_double, type_name
from model_server.rest.bodies.json_values import decode_base64, is_base64
from model_server.rest.bodies.rapid_json import JsonObject

_MISSING = object()
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def fill_examples(document: JsonObject, request: Any) -> None:
    """Fills a request's `input`.

    Args:
        document: the request's body.
        request: a ClassificationRequest or a RegressionRequest.

    Raises:
        InvalidArgumentError: with TF Serving's text.
    """
    target = request.input.example_list
    context = document.find("context", _MISSING)
    if context is not _MISSING:
        target = request.input.example_list_with_context
        _fill_example(context, target.context)
    examples = document.find("examples", _MISSING)
    problem = ""
    if examples is _MISSING:
        problem = "When method is classify, key 'examples' is expected and was not found"
    elif type(examples) is not list:
        problem = "Expecting 'examples' value to be an list/array"
    elif not examples:
        problem = "'examples' value is an empty array"
    if problem:
        raise InvalidArgumentError(f"JSON Value: {debug_text(document)} {problem}")
    for value in examples:
        _fill_example(value, target.examples.add())


def _fill_example(value: Any, example: Any) -> None:
    if type(value) is not JsonObject:
        raise InvalidArgumentError(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in value:
        # A protobuf string, unlike TF Serving's, must be text.
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        feature = example.features.feature[name]
        feature.Clear()
        for item in content if type(content) is list else [content]:
            _add_value(name, item, feature)


def _add_value(name: str, value: Any, feature: Any) -> None:
    if value is None or type(value) is list or (type(value) is JsonObject and not is_base64(value)):
        raise InvalidArgumentError(
            f"Feature: {name} has element with unexpected JSON type: {type_name(value)}"
        )
    if isinstance(value, str | JsonObject):
        kind = "bytes_list"
    elif isinstance(value, bool) or not is_double(value):
        kind = "int64_list"
    else:
        kind = "float_list"
    if feature.WhichOneof("kind") not in (None, kind):
        expected = _KINDS[feature.WhichOneof("kind")]
        raise InvalidArgumentError(
            f"Unexpected element type in feature: {name} expecting type: {expected}"
        )
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    elif isinstance(value, JsonObject):
        value = decode_base64(value)
    elif kind == "int64_list" and value >= 2**63:
        raise InvalidArgumentError(
            f"Feature: {name} has uint64_t element. Only int64_t is supported."
        )
    getattr(feature, kind).value.append(value)
