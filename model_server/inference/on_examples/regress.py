"""Regress: examples -> signature -> one value each.

The checks, their order and their words are those of TF Serving's `regressor.cc`.
"""

from model_server.errors import InvalidArgumentError
from model_server.inference import method_names, specs
from model_server.inference.on_examples import examples
from model_server.inference.options import InferenceOptions
from model_server.servable import Lease
from signs import protos

_INPUTS, _OUTPUTS = "inputs", "outputs"


def answer(
    request: protos.RegressionRequest,
    lease: Lease,
    options: InferenceOptions | None = None,
    deadline: float | None = None,
) -> protos.RegressionResponse:
    """Computes a value for each of the request's examples.

    Args:
        request: a RegressionRequest; its spec's version and label are not looked at.
        lease: the loaded version that answers.
        options: how to answer.
        deadline: when the caller stops waiting, in seconds of `time.monotonic`.

    Returns:
        A RegressionResponse.

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
        options.metrics.runtime_latency(request.model_spec.name, "Regress", outputs.seconds)
    response = protos.RegressionResponse()
    specs.fill(response.model_spec, request.model_spec, lease.version)
    fill(response.result, signature, outputs)
    return response


def plan(signature: protos.SignatureDef, options: InferenceOptions) -> tuple[str, list[str]]:
    """What to feed and to fetch.

    Returns:
        The name of the input tensor, and a list with that of the output tensor.

    Raises:
        InvalidArgumentError: the signature is not one that regresses.
    """
    if options.check_method_names and signature.method_name != method_names.REGRESS:
        raise InvalidArgumentError(
            f"Expected regression signature method_name to be {method_names.REGRESS}. "
            f"Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise InvalidArgumentError("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise InvalidArgumentError("Expected one output Tensor.")
    if _INPUTS not in signature.inputs:
        raise InvalidArgumentError(f"No regression inputs found in SignatureDef: {signature}")
    if _OUTPUTS not in signature.outputs:
        raise InvalidArgumentError(f"No regression outputs found in SignatureDef: {signature}")
    return signature.inputs[_INPUTS].name, [signature.outputs[_OUTPUTS].name]


def fill(
    result: protos.RegressionResult, signature: protos.SignatureDef, outputs: examples.Outputs
) -> None:
    """Checks what was fetched and writes it into the RegressionResult `result`.

    Raises:
        InvalidArgumentError: the model's output is not one float32 for each example.
    """
    array = outputs.arrays[signature.outputs[_OUTPUTS].name]
    if array.ndim != 1 and array.shape[1:] != (1,):
        raise InvalidArgumentError(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{examples.shape_text(array)}"
        )
    if len(array) != outputs.number:
        raise InvalidArgumentError(
            f"Input batch size did not match output batch size: {outputs.number} vs. {len(array)}"
        )
    if examples.dtype_name(array) != "DT_FLOAT":
        raise InvalidArgumentError(
            f"Expected output Tensor of DT_FLOAT.  Got: {examples.dtype_name(array)}"
        )
    for value in array.reshape(-1).tolist():
        result.regressions.add(value=value)
