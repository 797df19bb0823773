"""The server as a whole: models, the services on top of them, and what listens.

start: files and port are checked -> TensorFlow is imported -> models load -> gRPC, REST listen
stop:  health says so -> no new requests -> those in flight finish -> models unload -> the request
       log is closed
"""

import logging
import threading
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING

from model_server import descriptors
from model_server.access.access import Access, read_access
from model_server.admission.budget import Budget
from model_server.configs import config_file
from model_server.configs.protos import MonitoringConfig
from model_server.configs.read import ConfigError, read
from model_server.errors import RequestError
from model_server.grpc_api.grpc_server import GrpcServer
from model_server.grpc_api.rpc import Rpcs
from model_server.inference.options import InferenceOptions
from model_server.metrics import Metrics
from model_server.options import ServerOptions, StartError
from model_server.request_log import RequestLog
from model_server.services.model_service import ModelService
from model_server.services.prediction_service import PredictionService
from model_server.services.rpcs import rpcs
from model_server.tracing import Tracing
from model_server.versions.model_store import LoadPolicy
from model_server.versions.models import Models
from model_server.versions.version_folders import GRACE_S
from model_server.without_keras import without_keras
from signs import protos
from signs.heavy_imports import heavy_imports
from signs.tensorflow_notes import without_tensorflow_notes

if TYPE_CHECKING:
    from model_server.loading.loader import Loader
    from model_server.rest.server import RestServer

log = logging.getLogger(__name__)

# Requests had their time: what still holds a model now, or is still loading one, will not end soon.
_UNLOAD_TIMEOUT_S = 2.0
_METRICS_PATH = "/monitoring/prometheus/metrics"


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
        self._tracing = Tracing(options.tracing)
        request_bytes = options.request_memory_mib * 2**20
        self._for_messages = Budget(request_bytes // 3, "messages")
        self._for_runs = Budget(request_bytes - request_bytes // 3, "runs")
        self._rpcs = Rpcs(
            options.grpc_max_threads, self._metrics, self._tracing, self._for_messages
        )
        self._listening: list[GrpcServer | RestServer] = []  # the servers, to be stopped
        self._models: Models | None = None
        self._loader: Loader | None = None
        self._request_log: RequestLog | None = None

    def start(self) -> None:
        """Loads the models, then listens; returns early if `stopping` was set meanwhile.

        The ports open when every model has a version that answers, as TF Serving's do: who can
        connect gets answers.

        Raises:
            StartError: a file that a flag names cannot be used, the port is taken, or a model
                cannot be loaded.
        """
        try:
            self._start()
        except RequestError as error:
            if not self._stopping.is_set():
                raise StartError(f"{error.code.name}: {error}") from error

    def _start(self) -> None:
        options = self._options
        config = config_file.first_config(options)
        access = read_access(options)
        grpc_server = GrpcServer(options, self._rpcs, access)
        grpc_server.check_port()
        self._request_log = self._start_request_log()
        self._tracing.start()
        # Here and not above: a wrong flag or a taken port need not wait for TensorFlow.
        # What is imported then stays: not looking at it again keeps a collection under 10 ms.
        with without_tensorflow_notes(), without_keras(), heavy_imports():
            import tensorflow as tf

            from model_server.loading.loader import Loader

            tf.config.list_physical_devices()
        inference = InferenceOptions(
            as_content=options.enable_serialization_as_tensor_content,
            check_method_names=options.enable_signature_method_name_check,
            metrics=self._metrics,
        )
        self._loader = Loader(options, inference, self._metrics)
        self._models = Models(
            self._loader,
            LoadPolicy(
                poll_wait_s=options.file_system_poll_wait_seconds,
                max_retries=options.max_num_load_retries,
                retry_wait_s=max(0.0, options.load_retry_interval_micros / 1e6),
                grace_s=GRACE_S,
            ),
            allow_labels_for_unavailable=options.allow_version_labels_for_unavailable_models,
            stopping=self._stopping,
        )
        self._models.start()
        self._models.reconfigure(config)
        if options.model_config_file and options.model_config_file_poll_wait_seconds > 0:
            self._start_config_poll(self._models)
        prediction = PredictionService(self._models, inference, self._request_log, self._for_runs)
        model = ModelService(self._models, self._metrics)
        connections = self._connections_of_each_api()
        grpc_server.start(rpcs(prediction, model), self._models.is_available, connections)
        self._listening.append(grpc_server)
        if options.rest_api_port:
            self._start_rest(prediction, model, config, access, connections)

    def newest_versions(self) -> dict[str, int]:
        """The newest version that answers, of each model that has one."""
        return self._models.newest() if self._models is not None else {}

    def stop(self) -> bool:
        """Drains and unloads; False if something would not finish."""
        self._stopping.set()
        drain_s, lame_duck_s = self._options.drain_seconds, self._options.lame_duck_seconds
        with futures.ThreadPoolExecutor(2) as pool:
            stops = [pool.submit(server.stop, drain_s, lame_duck_s) for server in self._listening]
        finished = [stop.result() for stop in stops]
        if self._models is not None:
            finished.append(self._models.stop(_UNLOAD_TIMEOUT_S))
        if self._loader is not None:
            finished.append(self._loader.close())
        if self._request_log is not None:
            self._request_log.close()
        self._tracing.close()
        return all(finished)

    def _start_request_log(self) -> RequestLog | None:
        if not self._options.request_log_path:
            return None
        request_log = RequestLog(
            self._options.request_log_path, self._options.request_log_sampling_rate
        )
        try:
            request_log.start()
        except OSError as error:
            raise StartError(f"FAILED_PRECONDITION: --request_log_path: {error}") from error
        return request_log

    def _connections_of_each_api(self) -> int:
        threading.Thread(
            target=descriptors.watch, args=[self._stopping], name="files", daemon=True
        ).start()
        apis = 2 if self._options.rest_api_port else 1
        return self._options.max_connections or descriptors.connections_of_each_api(apis)

    def _start_config_poll(self, models: Models) -> None:
        threading.Thread(
            target=config_file.poll,
            args=[
                self._options.model_config_file,
                self._options.model_config_file_poll_wait_seconds,
                models.reconfigure,
                self._stopping,
            ],
            name="config",
            daemon=True,
        ).start()

    def _start_rest(
        self,
        prediction: PredictionService,
        model: ModelService,
        config: protos.ModelServerConfig,
        access: Access,
        connections: int,
    ) -> None:
        """Listens for REST; what hinders it is only told, as TF Serving does: gRPC serves on."""
        from model_server.access.http_guard import guarded
        from model_server.page.app import make_page
        from model_server.rest.app import RestOptions, make_app
        from model_server.rest.connection import Limits
        from model_server.rest.server import RestServer

        options = self._options
        if options.rest_api_port == options.port:
            log.error(
                "server_options.http_port cannot be same as grpc_port. Please use a different port "
                "for HTTP/REST API. Skipped exporting HTTP/REST API."
            )
            return
        # TF Serving's name for it, which scripts look for in the log.
        host = "localhost" if options.host == "127.0.0.1" else options.host
        address = f"{host}:{options.rest_api_port}"
        try:
            monitoring = MonitoringConfig()
            if options.monitoring_config_file:
                read(options.monitoring_config_file, monitoring)
            page = None
            if options.enable_page:
                # In a list of models it is for the first.
                models = config.model_config_list.config
                examples = Path(options.page_examples) if options.page_examples else None
                page = make_page(models[0].name if models else options.model_name, examples)
            prometheus = monitoring.prometheus_config
            app = make_app(
                prediction,
                model,
                RestOptions(
                    timeout_s=options.rest_api_timeout_in_ms / 1000
                    if options.rest_api_timeout_in_ms > 0
                    else None,
                    cors=options.rest_api_enable_cors_support,
                    metrics_path=(prometheus.path or _METRICS_PATH) if prometheus.enable else "",
                    max_body_bytes=options.max_request_bytes * 3 // 2,  # in base64
                    max_bodies_bytes=max(
                        RestOptions.max_bodies_bytes, options.max_request_bytes * 3
                    ),
                ),
                self._metrics,
                page,
                self._tracing,
                self._for_messages,
            )
            limits = Limits(
                connections, options.connection_idle_seconds, options.rest_api_read_seconds
            )
            rest = RestServer(
                guarded(app, access.hosts, access.tokens),
                options.host,
                options.rest_api_port,
                options.rest_api_num_threads,
                limits,
                access.certificates,
            )
            rest.start()
        except (ConfigError, OSError, OverflowError) as error:
            log.error("Failed to start HTTP Server at %s: %s", address, error)
            return
        self._listening.append(rest)
        log.info("Exporting HTTP/REST API at:%s ...", address)
