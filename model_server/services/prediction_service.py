"""tensorflow.serving.PredictionService: each RPC leases the version asked for, and answers.

    request -> model_spec -> lease -> inference.<rpc>.answer -> response (-> request log)

gRPC and REST both come through here.
"""

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from model_server import tracing
from model_server.admission.admitted import Admitted
from model_server.admission.budget import Budget
from model_server.errors import InvalidArgumentError
from model_server.inference import metadata, predict
from model_server.inference.on_examples import classify, multi_inference, regress
from model_server.inference.options import InferenceOptions
from model_server.request_log import RequestLog
from model_server.servable import Lease
from model_server.versions.models import Models
from signs import protos

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class PredictionService:
    """Answers the RPCs of PredictionService.

    Every method takes the request message and, where the model runs, the `deadline` at which the
    caller stops waiting (seconds of `time.monotonic`, None for none); it returns the response
    message and raises RequestError with TF Serving's status and text.

    Args:
        models: what is served.
        options: how requests are answered.
        request_log: is told the requests that were answered; None for none.
        budget: the memory for runs.
    """

    def __init__(
        self,
        models: Models,
        options: InferenceOptions | None = None,
        request_log: RequestLog | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._models = models
        self._options = options or InferenceOptions()
        self._request_log = request_log
        self._budget = budget or Budget()

    def predict(
        self, request: protos.PredictRequest, deadline: float | None = None
    ) -> protos.PredictResponse:
        """Answers with the version that the request's spec asks for."""
        _check_spec(request)
        return self._run(predict.answer, request, request.model_spec, deadline)

    def classify(
        self, request: protos.ClassificationRequest, deadline: float | None = None
    ) -> protos.ClassificationResponse:
        """Answers with the version that the request's spec asks for."""
        _check_spec(request)
        return self._run(classify.answer, request, request.model_spec, deadline)

    def regress(
        self, request: protos.RegressionRequest, deadline: float | None = None
    ) -> protos.RegressionResponse:
        """Answers with the version that the request's spec asks for."""
        _check_spec(request)
        return self._run(regress.answer, request, request.model_spec, deadline)

    def multi_inference(
        self, request: protos.MultiInferenceRequest, deadline: float | None = None
    ) -> protos.MultiInferenceResponse:
        """Answers with the version that the request's spec asks for."""
        spec = multi_inference.spec_of(request)
        return self._run(multi_inference.answer, request, spec, deadline)

    def get_model_metadata(
        self, request: protos.GetModelMetadataRequest, deadline: float | None = None
    ) -> protos.GetModelMetadataResponse:
        """Tells the signatures of the version that the request's spec asks for."""
        metadata.check(request)
        with self._models.lease(request.model_spec) as lease:
            return metadata.answer(request, lease)

    def _run(
        self,
        answer: Callable[[Request, Lease, InferenceOptions, float | None], Response],
        request: Request,
        spec: protos.ModelSpec,
        deadline: float | None,
    ) -> Response:
        with self._models.lease(spec) as lease:
            tracing.note({"model.name": spec.name, "model.version": lease.version})
            admitted = Lease(lease.version, Admitted(lease.servable, self._budget))
            response = answer(request, admitted, self._options, deadline)
        if self._request_log is not None:
            self._request_log.record(request, response)
        return response


def _check_spec(request: Message) -> None:
    if not request.HasField("model_spec"):
        raise InvalidArgumentError("Missing ModelSpec")
