"""Classify: examples -> signature -> classes and scores.

The checks, their order and their words are those of TF Serving's `classifier.cc`.
"""

from collections.abc import Mapping

import numpy as np

from model_server.errors import InvalidArgumentError
from model_server.inference import method_names, specs
from model_server.inference.on_examples import examples
from model_server.inference.options import InferenceOptions
from model_server.servable import Lease
from signs import protos

_INPUTS, _CLASSES, _SCORES = "inputs", "classes", "scores"


def answer(
    request: protos.ClassificationRequest,
    lease: Lease,
    options: InferenceOptions | None = None,
    deadline: float | None = None,
) -> protos.ClassificationResponse:
    """Classifies the request's examples.

    Args:
        request: a ClassificationRequest; its spec's version and label are not looked at.
        lease: the loaded version that answers.
        options: how to answer.
        deadline: when the caller stops waiting, in seconds of `time.monotonic`.

    Returns:
        A ClassificationResponse: the classes of each example, in the order of the model's columns.

    Raises:
        RequestError: with TF Serving's status and text.
    """
    options = options or InferenceOptions()
    key = specs.signature_key(request.model_spec)
    signature = lease.servable.signature_defs.get(key)
    if signature is None:
        raise InvalidArgumentError(f"No signature was found with the name: {key}")
    feed, fetches = plan(signature, options)
    outputs = examples.run(request.input, lease.servable, [feed], fetches, deadline)
    if options.metrics is not None:
        options.metrics.runtime_latency(request.model_spec.name, "Classify", outputs.seconds)
    response = protos.ClassificationResponse()
    specs.fill(response.model_spec, request.model_spec, lease.version)
    fill(response.result, signature, outputs)
    return response


def plan(signature: protos.SignatureDef, options: InferenceOptions) -> tuple[str, list[str]]:
    """What to feed and to fetch.

    Returns:
        The name of the input tensor, and those of the output tensors.

    Raises:
        InvalidArgumentError: the signature is not one that classifies.
    """
    if options.check_method_names and signature.method_name != method_names.CLASSIFY:
        raise InvalidArgumentError(
            f"Expected classification signature method_name to be {method_names.CLASSIFY}. "
            f"Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise InvalidArgumentError("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise InvalidArgumentError(
            f"Expected one or two output Tensors, found {len(signature.outputs)}"
        )
    if _INPUTS not in signature.inputs:
        raise InvalidArgumentError(f"No classification inputs found in SignatureDef: {signature}")
    fetches = [signature.outputs[name].name for name in _outputs(signature)]
    if not fetches:
        raise InvalidArgumentError(
            "Expected classification signature outputs to contain at least one of "
            f'"{_CLASSES}" or "{_SCORES}". Signature was: {signature}'
        )
    return signature.inputs[_INPUTS].name, fetches


def fill(
    result: protos.ClassificationResult, signature: protos.SignatureDef, outputs: examples.Outputs
) -> None:
    """Checks what was fetched and writes it into the ClassificationResult `result`.

    Raises:
        InvalidArgumentError: the model's outputs are not those of a classifier.
    """
    columns = {name: outputs.arrays[signature.outputs[name].name] for name in _outputs(signature)}
    for name, array in columns.items():
        _check(name, array, outputs.number)
    if len({array.shape[1] for array in columns.values()}) > 1:
        raise InvalidArgumentError(
            "Tensors class and score should match in dim_size(1). "
            f"Got {columns[_CLASSES].shape[1]} vs. {columns[_SCORES].shape[1]}"
        )
    for row in range(outputs.number):
        _fill_row(result.classifications.add(), {name: a[row] for name, a in columns.items()})


def _outputs(signature: protos.SignatureDef) -> list[str]:
    return [name for name in (_CLASSES, _SCORES) if name in signature.outputs]


def _check(name: str, array: np.ndarray, number: int) -> None:
    if array.ndim != 2:
        raise InvalidArgumentError(
            f"Expected Tensor shape: [batch_size num_classes] but got {examples.shape_text(array)}"
        )
    expected = "DT_STRING" if name == _CLASSES else "DT_FLOAT"
    if examples.dtype_name(array) != expected:
        raise InvalidArgumentError(
            f"Expected {name} Tensor of {expected}. Got: {examples.dtype_name(array)}"
        )
    if len(array) != number:
        raise InvalidArgumentError(
            f"Expected {name} output batch size of {number}. Got: {len(array)}"
        )


def _fill_row(classifications: protos.Classifications, columns: Mapping[str, np.ndarray]) -> None:
    for values in zip(*columns.values(), strict=True):
        told = classifications.classes.add()
        for name, value in zip(columns, values, strict=True):
            if name == _CLASSES:
                # A protobuf string is text, and a model's need not be.
                told.label = value.decode(errors="replace")
            else:
                told.score = value
