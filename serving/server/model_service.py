"""tensorflow.serving.ModelService: GetModelStatus.

The words are those of TF Serving's `get_model_status_impl.cc`.
"""

from typing import Any

import grpc

from serving import protos
from serving.server import rpc
from serving.server.errors import InvalidArgumentError, NotFoundError
from serving.server.models import Models

NAME = "tensorflow.serving.ModelService"


class ModelService:
    """Answers the RPCs of ModelService.

    Args:
        models: what is served.
    """

    def __init__(self, models: Models[Any]) -> None:
        self._models = models

    def handler(self) -> grpc.GenericRpcHandler:
        """What a grpc server needs to answer this service."""
        return rpc.service(
            NAME, {"GetModelStatus": (self.get_model_status, protos.GetModelStatusRequest)}
        )

    def get_model_status(self, request: Any, deadline: float | None = None) -> Any:
        """Tells the states of a model's versions, newest first.

        Args:
            request: a GetModelStatusRequest; with a version number, only that version is told.
            deadline: is not needed: nothing here takes time.

        Returns:
            A GetModelStatusResponse. A version that failed carries its status and message.

        Raises:
            RequestError: with TF Serving's status and text.
        """
        if not request.HasField("model_spec"):
            raise InvalidArgumentError("Missing ModelSpec")
        spec = request.model_spec
        store = self._models.get(spec.name)
        statuses = store.statuses() if store else []
        if spec.HasField("version"):
            number = spec.version.value
            statuses = [status for status in statuses if status.version == number]
            if not statuses:
                raise NotFoundError(f"Could not find version {number} of model {spec.name}")
        elif not statuses:
            raise NotFoundError(f"Could not find any versions of model {spec.name}")
        response = protos.GetModelStatusResponse()
        for status in statuses:
            told = response.model_version_status.add(
                version=status.version, state=int(status.state)
            )
            told.status.error_code = status.error.code.value[0] if status.error else 0
            told.status.error_message = str(status.error) if status.error else ""
        return response
