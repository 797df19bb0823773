"""MultiInference: several signatures of one version on the same examples, in one run.

The checks, their order and their words are those of TF Serving's `multi_inference.cc`.
"""

from collections.abc import Mapping, Sequence

from model_server.errors import InvalidArgumentError, UnimplementedError
from model_server.inference import method_names, specs
from model_server.inference.on_examples import classify, examples, regress
from model_server.inference.options import InferenceOptions
from model_server.servable import Lease
from signs import protos


def spec_of(request: protos.MultiInferenceRequest) -> protos.ModelSpec:
    """The ModelSpec that decides which version answers: the first task's, empty without tasks."""
    return request.tasks[0].model_spec if request.tasks else protos.ModelSpec()


def answer(
    request: protos.MultiInferenceRequest,
    lease: Lease,
    options: InferenceOptions | None = None,
    deadline: float | None = None,
) -> protos.MultiInferenceResponse:
    """Runs all tasks of the request on its examples.

    Args:
        request: a MultiInferenceRequest; its specs' versions and labels are not looked at.
        lease: the loaded version that answers.
        options: how to answer.
        deadline: when the caller stops waiting, in seconds of `time.monotonic`.

    Returns:
        A MultiInferenceResponse with a result for each task, in their order.

    Raises:
        RequestError: with TF Serving's status and text.
    """
    options = options or InferenceOptions()
    signatures = lease.servable.signature_defs
    feeds, fetches = _plan(request.tasks, signatures, options)
    outputs = examples.run(request.input, lease.servable, sorted(feeds), sorted(fetches), deadline)
    if options.metrics is not None:
        options.metrics.examples(spec_of(request).name, outputs.number)
    response = protos.MultiInferenceResponse()
    for task in request.tasks:
        result = response.results.add()
        signature = signatures[specs.signature_key(task.model_spec)]
        if task.method_name == method_names.CLASSIFY:
            classify.fill(result.classification_result, signature, outputs)
        else:
            regress.fill(result.regression_result, signature, outputs)
        specs.fill(result.model_spec, task.model_spec, lease.version)
    return response


def _plan(
    tasks: Sequence[protos.InferenceTask],
    signatures: Mapping[str, protos.SignatureDef],
    options: InferenceOptions,
) -> tuple[set[str], set[str]]:
    """The tensors to feed and to fetch for all tasks together."""
    feeds: set[str] = set()
    fetches: set[str] = set()
    seen: set[str] = set()
    for task in tasks:
        if not task.model_spec.name:
            raise InvalidArgumentError("Found ModelSpec with an empty model name.")
        if task.model_spec.name != tasks[0].model_spec.name:
            raise InvalidArgumentError(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        key = specs.signature_key(task.model_spec)
        if key in seen:
            raise InvalidArgumentError(f"Duplicate evaluation of signature: {key}")
        seen.add(key)
        if key not in signatures:
            raise InvalidArgumentError(f"Requested signature not found in model graph: {key}")
        if task.method_name == method_names.CLASSIFY:
            feed, fetched = classify.plan(signatures[key], options)
        elif task.method_name == method_names.REGRESS:
            feed, fetched = regress.plan(signatures[key], options)
        else:
            raise UnimplementedError(f"Unsupported signature method_name: {task.method_name}")
        feeds.add(feed)
        fetches.update(fetched)
    return feeds, fetches
