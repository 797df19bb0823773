"""tensorflow.serving.ModelService: GetModelStatus and HandleReloadConfigRequest.

The words are those of TF Serving's `get_model_status_impl.cc` and `model_service_impl.cc`.
"""

import logging

from model_server.errors import InvalidArgumentError, NotFoundError, RequestError
from model_server.metrics import Metrics
from model_server.versions.models import Models
from signs import protos

log = logging.getLogger(__name__)


class ModelService:
    """Answers the RPCs of ModelService.

    Every method takes the request message and the `deadline` at which the caller stops waiting
    (seconds of `time.monotonic`, None for none), returns the response message, and raises
    RequestError with TF Serving's status and text.

    Args:
        models: what is served.
        metrics: what a reload may ask the increase of.
    """

    def __init__(self, models: Models, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics

    def get_model_status(
        self, request: protos.GetModelStatusRequest, deadline: float | None = None
    ) -> protos.GetModelStatusResponse:
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

    def handle_reload_config(
        self, request: protos.ReloadConfigRequest, deadline: float | None = None
    ) -> protos.ReloadConfigResponse:
        """Serves another list of models, once those that are new are available.

        Args:
            request: a ReloadConfigRequest with a `model_config_list`.
            deadline: when the caller stops waiting, in seconds of `time.monotonic`.

        Returns:
            A ReloadConfigResponse: status OK, and by how much each metric that the request names
            has grown meanwhile.

        Raises:
            RequestError: with TF Serving's status and text.
        """
        if request.config.WhichOneof("config") != "model_config_list":
            raise InvalidArgumentError(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported"
            )
        for index, model in enumerate(request.config.model_config_list.config):
            log.info("Config entry %d: %s at %s", index, model.name, model.base_path)
        names = dict.fromkeys(request.metric_names)
        before = {name: self._metrics.value(name) for name in names}
        try:
            self._models.reconfigure(request.config, deadline)
        except RequestError as error:
            log.error("ReloadConfig failed: %s", error)
            raise
        response = protos.ReloadConfigResponse()
        response.status.SetInParent()
        for name in names:
            increase = self._metrics.value(name) - before[name]
            response.metric.add(name=name, int64_value_increase=increase)
        return response
