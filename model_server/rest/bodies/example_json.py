"""JSON -> the examples of a ClassificationRequest or RegressionRequest.

    {"context": {feature: value}, "examples": [{feature: value or [value, ...]}, ...]}

The kind of a feature is that of its first value, not what the model expects. The checks, their
order and their words are those of TF Serving's `json_tensor.cc`.
"""

from model_server.errors import InvalidArgumentError
from model_server.rest.bodies.json_reader import Json, JsonObject, shown, type_name
from model_server.rest.bodies.json_values import decode_base64, is_base64
from signs import protos

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def fill_examples(
    document: JsonObject, request: protos.ClassificationRequest | protos.RegressionRequest
) -> None:
    """Fills a request's `input`.

    Args:
        document: the request's body.
        request: a ClassificationRequest or a RegressionRequest.

    Raises:
        InvalidArgumentError: with TF Serving's text.
    """
    target: protos.ExampleList | protos.ExampleListWithContext = request.input.example_list
    if "context" in document:
        target = with_context = request.input.example_list_with_context
        _fill_example(document["context"], with_context.context)
    for value in _examples(document):
        _fill_example(value, target.examples.add())


def _examples(document: JsonObject) -> list[Json]:
    examples = document.get("examples")
    if isinstance(examples, list) and examples:
        return examples
    if "examples" not in document:
        problem = "When method is classify, key 'examples' is expected and was not found"
    elif not isinstance(examples, list):
        problem = "Expecting 'examples' value to be an list/array"
    else:
        problem = "'examples' value is an empty array"
    raise InvalidArgumentError(f"JSON Value: {shown(document)} {problem}")


def _fill_example(value: Json, example: protos.Example) -> None:
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in value.items():
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add_value(name, item, feature)


def _add_value(name: str, value: Json, feature: protos.Feature) -> None:
    kind, kept = _kept(name, value)
    first = feature.WhichOneof("kind")
    if first is not None and first != kind:
        raise InvalidArgumentError(
            f"Unexpected element type in feature: {name} expecting type: {_KINDS[first]}"
        )
    if isinstance(kept, int) and kept >= 2**63:
        raise InvalidArgumentError(
            f"Feature: {name} has uint64_t element. Only int64_t is supported."
        )
    getattr(feature, kind).value.append(kept)


def _kept(name: str, value: Json) -> tuple[str, bytes | int | float]:
    """The kind of feature that a value is for, and what it holds of it."""
    if isinstance(value, str):
        return "bytes_list", value.encode()
    if is_base64(value):
        return "bytes_list", decode_base64(value)
    if isinstance(value, int):
        return "int64_list", value
    if isinstance(value, float):
        return "float_list", value
    raise InvalidArgumentError(
        f"Feature: {name} has element with unexpected JSON type: {type_name(value)}"
    )
