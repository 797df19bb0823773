"""The server as a whole: models, the services on top of them, and what listens.

start: files and port are checked -> TensorFlow is imported -> models load -> gRPC, REST listen
stop:  no new requests -> those in flight finish -> models unload -> the log is closed
"""

import gc
import logging
import threading
import time
from typing import Any

from serving import protos
from serving.server.configs.read import ConfigError, read
from serving.server.errors import RequestError
from serving.server.grpc_server import GrpcServer
from serving.server.metrics import Metrics
from serving.server.options import ServerOptions, StartError
from serving.server.rpc import Rpcs

log = logging.getLogger(__name__)

# Requests had their time: what still holds a model now, or is still loading one, will not end soon.
_UNLOAD_TIMEOUT_S = 2.0


class ModelServer:
    """Models behind a gRPC and a REST port.

    Args:
        options: the flags.
        stopping: set it to stop whatever waits: for models to load, or for the next poll.
    """

    def __init__(self, options: ServerOptions, stopping: threading.Event) -> None:
        self._options = options
        self._stopping = stopping
        self._metrics = Metrics()
        self._rpcs = Rpcs(options.grpc_max_threads, self._metrics)
        self._grpc: GrpcServer | None = None
        self._models: Any = None

    def start(self) -> None:
        """Loads the models, then listens; returns early if `stopping` was set meanwhile.

        The ports open when every model has a version that answers, as TF Serving's do: who can
        connect gets answers.

        Raises:
            StartError: a file that a flag names cannot be used, the port is taken, or a model
                cannot be loaded.
        """
        config = self._read_config()
        grpc_server = GrpcServer(self._options, self._rpcs)
        grpc_server.check_port()
        # Here and not above: a wrong flag or a taken port need not wait for TensorFlow.
        from serving.server.inference.options import InferenceOptions
        from serving.server.loading import Loader
        from serving.server.model_service import ModelService
        from serving.server.model_store import LoadPolicy
        from serving.server.models import Models
        from serving.server.prediction_service import PredictionService

        # What is imported by now stays: not looking at it again keeps a collection under 10 ms.
        gc.collect()
        gc.freeze()
        options = self._options
        inference = InferenceOptions(
            as_content=options.enable_serialization_as_tensor_content,
            check_method_names=options.enable_signature_method_name_check,
            metrics=self._metrics,
        )
        self._models = Models(
            Loader(options, inference, self._metrics),
            LoadPolicy(
                poll_wait_s=options.file_system_poll_wait_seconds,
                max_retries=options.max_num_load_retries,
                retry_wait_s=max(0.0, options.load_retry_interval_micros / 1e6),
            ),
            allow_labels_for_unavailable=options.allow_version_labels_for_unavailable_models,
            stopping=self._stopping,
        )
        prediction = PredictionService(self._models, inference)
        model = ModelService(self._models, self._metrics)
        self._models.start()
        try:
            self._models.reconfigure(config)
        except RequestError as error:
            if self._stopping.is_set():
                return
            raise StartError(f"{error.code.name}: {error}") from error
        if options.model_config_file and options.model_config_file_poll_wait_seconds > 0:
            threading.Thread(target=self._poll_config, name="config", daemon=True).start()
        grpc_server.start(
            {
                "tensorflow.serving.PredictionService": {
                    "Predict": (prediction.predict, protos.PredictRequest),
                    "Classify": (prediction.classify, protos.ClassificationRequest),
                    "Regress": (prediction.regress, protos.RegressionRequest),
                    "MultiInference": (prediction.multi_inference, protos.MultiInferenceRequest),
                    "GetModelMetadata": (
                        prediction.get_model_metadata,
                        protos.GetModelMetadataRequest,
                    ),
                },
                "tensorflow.serving.ModelService": {
                    "GetModelStatus": (model.get_model_status, protos.GetModelStatusRequest),
                    "HandleReloadConfigRequest": (
                        model.handle_reload_config,
                        protos.ReloadConfigRequest,
                    ),
                },
            }
        )
        self._grpc = grpc_server

    def stop(self) -> bool:
        """Drains and unloads; False if something would not finish."""
        self._stopping.set()
        drained = self._grpc.stop(self._options.drain_seconds) if self._grpc else True
        if self._models is not None:
            drained = self._models.stop(_UNLOAD_TIMEOUT_S) and drained
        return drained

    def _read_config(self) -> Any:
        """The ModelServerConfig of the file, or of the one model that flags name."""
        options = self._options
        if options.model_config_file:
            try:
                return read(options.model_config_file, protos.ModelServerConfig())
            except ConfigError as error:
                raise StartError(f"{error.code.name}: {error}") from error
        config = protos.ModelServerConfig()
        config.model_config_list.config.add(
            name=options.model_name,
            base_path=options.model_base_path,
            model_platform="tensorflow",
        )
        return config

    def _poll_config(self) -> None:
        """Reads the configuration file again and again; what is wrong with it is told once."""
        wait_s = self._options.model_config_file_poll_wait_seconds
        told = ""
        while not self._stopping.is_set():
            problem = ""
            try:
                config = read(self._options.model_config_file, protos.ModelServerConfig())
                # A model that does not appear may not keep the next change of the file waiting.
                self._models.reconfigure(config, time.monotonic() + wait_s)
            except ConfigError as error:
                problem = f"Failed to read ModelServerConfig file: {error}"
            except RequestError as error:
                problem = f"PollFilesystemAndReloadConfig failed to ReloadConfig: {error}"
            except Exception:
                log.exception("The poll of %s failed", self._options.model_config_file)
            if problem and problem != told:
                log.error("%s", problem)
            told = problem
            self._stopping.wait(wait_s)
