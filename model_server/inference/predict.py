"""Predict: PredictRequest -> signature -> arrays -> run -> arrays -> PredictResponse.

The checks, their order and their words are those of TF Serving's `predict_util.cc`.
"""

import time
from collections.abc import Iterable, Mapping

import numpy as np

from model_server.errors import FailedPreconditionError, InternalError, InvalidArgumentError
from model_server.inference import method_names, specs
from model_server.inference.options import InferenceOptions
from model_server.servable import Lease
from signs import protos, tensors

# With the check of method names on; the other RPCs' signatures can be run as they are, too.
_METHOD_NAMES = (method_names.PREDICT, method_names.CLASSIFY, method_names.REGRESS)


def answer(
    request: protos.PredictRequest,
    lease: Lease,
    options: InferenceOptions | None = None,
    deadline: float | None = None,
) -> protos.PredictResponse:
    """Runs a signature on the request's tensors.

    Args:
        request: a PredictRequest; its spec's version and label are not looked at.
        lease: the loaded version that answers.
        options: how to answer.
        deadline: when the caller stops waiting, in seconds of `time.monotonic`.

    Returns:
        A PredictResponse: the outputs asked for (all, if the filter is empty), and the spec of the
        version and the signature that answered.

    Raises:
        RequestError: with TF Serving's status and text.
    """
    options = options or InferenceOptions()
    key = specs.signature_key(request.model_spec)
    signature = lease.servable.signature_defs.get(key)
    if signature is None:
        raise FailedPreconditionError(f'Serving signature key "{key}" not found.')
    if options.check_method_names and signature.method_name not in _METHOD_NAMES:
        raise InternalError(
            "Expected prediction signature method_name to be one of "
            f"{{{', '.join(_METHOD_NAMES)}}}. Was: {signature.method_name}"
        )
    arrays = _read_inputs(request.inputs, signature)
    outputs = _chosen_outputs(request.output_filter, signature)
    started = time.perf_counter()
    results = lease.servable.run(
        {signature.inputs[name].name: array for name, array in arrays.items()},
        [signature.outputs[name].name for name in outputs],
        deadline,
    )
    if options.metrics is not None:
        seconds = time.perf_counter() - started
        options.metrics.runtime_latency(request.model_spec.name, "Predict", seconds)
    response = protos.PredictResponse()
    specs.fill(response.model_spec, request.model_spec, lease.version)
    for name, array in zip(outputs, results, strict=True):
        tensors.encode(array, response.outputs[name], as_content=options.as_content)
    return response


def _read_inputs(
    sent: Mapping[str, protos.TensorProto], signature: protos.SignatureDef
) -> dict[str, np.ndarray]:
    wanted = signature.inputs
    # An input that is left out may have a default in the signature.
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise InvalidArgumentError(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({_names(sent)}) != len({_names(wanted)}). "
            f"Sent extra: {_names(set(sent) - set(wanted))}. "
            f"Missing but required: {_names(set(wanted) - set(sent))}."
        )
    arrays = {}
    for name in sorted(wanted):
        if name in sent:
            proto = sent[name]
        elif name in signature.defaults:
            proto = signature.defaults[name]
        else:
            defaults = ",".join(sorted(signature.defaults))
            raise InvalidArgumentError(
                f"Signature input alias: {name}(feed name: {wanted[name].name}) not found in "
                "request and no default value provided. Inputs expected to be in the request "
                f"{_names(sent)}, or default input alias set: {defaults}"
            )
        try:
            arrays[name] = tensors.decode(proto)
        except (tensors.TensorError, MemoryError) as error:
            raise InvalidArgumentError(f"tensor parsing error: {name}") from error
    if unused := set(sent) - set(wanted):
        raise InvalidArgumentError(
            f"Inputs contains invalid name. Used request inputs: "
            f"{','.join(sorted(set(sent) - unused))}, request input: {','.join(sorted(sent))}"
        )
    return arrays


def _chosen_outputs(output_filter: Iterable[str], signature: protos.SignatureDef) -> list[str]:
    chosen: list[str] = []
    for name in output_filter:
        if name not in signature.outputs:
            raise InvalidArgumentError(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the "
                f"set {_names(signature.outputs)}."
            )
        if name in chosen:
            raise InvalidArgumentError(f"duplicate output tensor alias: {name}")
        chosen.append(name)
    return chosen or sorted(signature.outputs)


def _names(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
