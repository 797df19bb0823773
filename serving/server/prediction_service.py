"""tensorflow.serving.PredictionService: each RPC leases the version asked for, and answers.

    request -> model_spec -> lease -> inference.<rpc>.answer -> response

gRPC and REST both come through here.
"""

from typing import Any

import grpc

from serving import protos
from serving.server import rpc
from serving.server.errors import InvalidArgumentError
from serving.server.inference import metadata, predict
from serving.server.inference.options import InferenceOptions
from serving.server.models import Models

NAME = "tensorflow.serving.PredictionService"


class PredictionService:
    """Answers the RPCs of PredictionService.

    Every method takes the request message and, where the model runs, the `deadline` at which the
    caller stops waiting (seconds of `time.monotonic`, None for none); it returns the response
    message and raises RequestError with TF Serving's status and text.

    Args:
        models: what is served.
        options: how requests are answered.
    """

    def __init__(self, models: Models[Any], options: InferenceOptions | None = None) -> None:
        self._models = models
        self._options = options or InferenceOptions()

    def handler(self) -> grpc.GenericRpcHandler:
        """What a grpc server needs to answer this service."""
        return rpc.service(
            NAME,
            {
                "Predict": (self.predict, protos.PredictRequest),
                "GetModelMetadata": (self.get_model_metadata, protos.GetModelMetadataRequest),
            },
        )

    def predict(self, request: Any, deadline: float | None = None) -> Any:
        """PredictRequest -> PredictResponse."""
        _check_spec(request)
        with self._models.lease(request.model_spec) as lease:
            return predict.answer(request, lease, self._options, deadline)

    def get_model_metadata(self, request: Any, deadline: float | None = None) -> Any:
        """GetModelMetadataRequest -> GetModelMetadataResponse."""
        metadata.check(request)
        with self._models.lease(request.model_spec) as lease:
            return metadata.answer(request, lease)


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise InvalidArgumentError("Missing ModelSpec")
