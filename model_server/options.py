"""The model server's options: every flag of TF Serving's `model_servers/main.cc`, and ours.

This is the one table of flags. The parser and the usage text of `flags.py` come from it, and so
does the documentation: each flag is supported, taken without effect (`ignored` says why), or
refused unless it keeps its default (`refused` says why).
"""

import re
from dataclasses import dataclass, field, fields
from typing import TypeAlias, TypeVar, cast

from signs import features
from signs.process import cores

_CPUS = cores()
# TF Serving's default is four for each CPU. On two cores its ninth caller would be refused; here a
# thread that waits is cheap.
_MIN_GRPC_THREADS = 64


LOG = "log"  # a value of --tracing
_COLLECTOR = re.compile("https?://[^/]")

FlagValue: TypeAlias = bool | int | float | str


class StartError(Exception):
    """The server cannot start; the text is what follows `Failed to start server. Error: `."""


@dataclass(frozen=True)
class Flag:
    """What is to be told of one flag.

    Args:
        name: as it is written after the two dashes.
        kind: the type, in the usage text's words: int32, int64, bool, string or float.
        default: its value where it is not given.
        usage: what it does.
        ignored: why it is taken and has no effect; empty if it has one.
        refused: why any value but the default ends the server; empty if none does.
        extension: TF Serving has no such flag.
    """

    name: str
    kind: str
    default: FlagValue
    usage: str
    ignored: str = ""
    refused: str = ""
    extension: bool = False


Default = TypeVar("Default", bool, int, float, str)


def _flag(kind: str, default: Default, usage: str, **more: str | bool) -> Default:
    return field(default=default, metadata={"kind": kind, "usage": usage, **more})


@dataclass(frozen=True)
class ServerOptions:
    """What the flags say; `check` tells whether a server can start with them."""

    port: int = _flag("int32", features.GRPC_PORT, "TCP port of the gRPC API; 0 listens on none.")
    grpc_socket_path: str = _flag("string", "", "UNIX socket to listen on for the gRPC API.")
    rest_api_port: int = _flag(
        "int32", 0, "Port of the REST API, another than --port; 0 listens on none."
    )
    rest_api_num_threads: int = _flag(
        "int32", 4 * _CPUS, "REST requests answered at the same time."
    )
    rest_api_timeout_in_ms: int = _flag("int32", 30000, "Time limit of a REST request.")
    rest_api_enable_cors_support: bool = _flag("bool", False, "Send CORS headers.")
    enable_batching: bool = _flag("bool", False, "Run requests that wait together as one batch.")
    allow_version_labels_for_unavailable_models: bool = _flag(
        "bool", False, "A new version label may name a version that is not loaded yet."
    )
    batching_parameters_file: str = _flag(
        "string", "", "BatchingParameters in text format, for --enable_batching."
    )
    enable_per_model_batching_parameters: bool = _flag(
        "bool",
        False,
        "Each version is batched as its own batching_params.pbtxt says, or not at all.",
    )
    model_config_file: str = _flag(
        "string",
        "",
        "ModelServerConfig in text format; --model_name and --model_base_path are ignored then.",
    )
    model_config_file_poll_wait_seconds: int = _flag(
        "int32", 0, "Seconds between looks at --model_config_file; 0 looks once."
    )
    model_name: str = _flag("string", "default", "Name by which clients ask for the model.")
    model_base_path: str = _flag("string", "", "Folder of version folders; an absolute path.")
    num_load_threads: int = _flag(
        "int32", 0, "Threads that load models.", ignored="every model loads in a thread of its own"
    )
    num_unload_threads: int = _flag(
        "int32", 0, "Threads that unload models.", ignored="unloading never holds up anything"
    )
    max_num_load_retries: int = _flag(
        "int32", 5, "How often a version that failed to load is tried again."
    )
    load_retry_interval_micros: int = _flag(
        "int64", 60_000_000, "Microseconds between two tries; negative waits not at all."
    )
    file_system_poll_wait_seconds: int = _flag(
        "int32", 1, "Seconds between looks for new versions; 0 looks once, negative never."
    )
    flush_filesystem_caches: bool = _flag(
        "bool",
        True,
        "Drop model files from the page cache after loading.",
        ignored="a hint to the operating system, which reclaims the cache by itself",
    )
    tensorflow_session_parallelism: int = _flag(
        "int64", 0, "Threads for both of the next two; 0 is automatic."
    )
    tensorflow_session_config_file: str = _flag(
        "string", "", "ConfigProto of TensorFlow's session, in text format."
    )
    tensorflow_intra_op_parallelism: int = _flag(
        "int64", 0, "Threads within one operation; 0 is automatic."
    )
    tensorflow_inter_op_parallelism: int = _flag(
        "int64", 0, "Operations that run at the same time; 0 is automatic."
    )
    use_alts_credentials: bool = _flag(
        "bool", False, "Use Google's ALTS.", refused="it exists on Google's machines only"
    )
    ssl_config_file: str = _flag("string", "", "SSLConfig in text format: TLS for gRPC and REST.")
    platform_config_file: str = _flag(
        "string",
        "",
        "PlatformConfigMap in text format.",
        refused="its settings have flags of their own",
    )
    per_process_gpu_memory_fraction: float = _flag(
        "float", 0.0, "Share of GPU memory to take at once; 0 takes what is needed as it grows."
    )
    saved_model_tags: str = _flag(
        "string", "serve", "Tags of the graph to load from a SavedModel, separated by commas."
    )
    grpc_channel_arguments: str = _flag(
        "string", "", "Settings of the gRPC server: key=value,key=value."
    )
    grpc_max_threads: int = _flag(
        "int32",
        max(4 * _CPUS, _MIN_GRPC_THREADS),
        "gRPC requests answered at the same time; more are refused.",
    )
    enable_model_warmup: bool = _flag(
        "bool",
        True,
        "Optimise a version's graph as it loads, and replay its "
        "assets.extra/tf_serving_warmup_requests.",
    )
    num_request_iterations_for_warmup: int = _flag(
        "int32", 0, "How often each warm-up request is replayed, if positive."
    )
    version: bool = _flag("bool", False, "Print the version and exit.")
    monitoring_config_file: str = _flag(
        "string", "", "MonitoringConfig in text format: the Prometheus page of the REST port."
    )
    remove_unused_fields_from_bundle_metagraph: bool = _flag(
        "bool",
        True,
        "Keep less of the MetaGraphDef in memory.",
        ignored="of a loaded MetaGraphDef only the signatures are kept",
    )
    prefer_tflite_model: bool = _flag(
        "bool",
        False,
        "Serve model.tflite where there is one.",
        ignored="only SavedModels are served",
    )
    num_tflite_pools: int = _flag(
        "int32", _CPUS, "Pools of TFLite interpreters.", ignored="only SavedModels are served"
    )
    num_tflite_interpreters_per_pool: int = _flag(
        "int32", 1, "TFLite interpreters in a pool.", ignored="only SavedModels are served"
    )
    enable_signature_method_name_check: bool = _flag(
        "bool", False, "A signature answers only the RPC that its method name is for."
    )
    xla_cpu_compilation_enabled: bool = _flag(
        "bool",
        False,
        "Let graphs use XLA on the CPU.",
        ignored="TensorFlow's Python package always lets them",
    )
    xla_gpu_compilation_enabled: bool = _flag(
        "bool",
        False,
        "Let graphs use XLA on CPU and GPU.",
        ignored="TensorFlow's Python package always lets them",
    )
    enable_profiler: bool = _flag(
        "bool", True, "Register tensorflow.ProfilerService (its Profile is UNIMPLEMENTED)."
    )
    thread_pool_factory_config_file: str = _flag(
        "string",
        "",
        "ThreadPoolFactoryConfig in text format.",
        refused="it names C++ classes to be linked in",
    )
    mixed_precision: str = _flag("string", "", "`bfloat16` lets oneDNN compute in bfloat16.")
    skip_initialize_tpu: bool = _flag(
        "bool", False, "Leave the TPU system alone.", ignored="TPUs are not used"
    )
    enable_grpc_healthcheck_service: bool = _flag("bool", False, "Answer grpc.health.v1.")
    enable_serialization_as_tensor_content: bool = _flag(
        "bool", False, "Predict answers with tensor_content instead of typed fields."
    )

    host: str = _flag(
        "string",
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 serves other machines too.",
        extension=True,
    )
    drain_seconds: float = _flag(
        "float", 30.0, "After SIGTERM, seconds for requests in flight to finish.", extension=True
    )
    lame_duck_seconds: float = _flag(
        "float",
        0.0,
        "After SIGTERM, seconds in which health is NOT_SERVING and requests are answered still.",
        extension=True,
    )
    max_connections: int = _flag(
        "int32",
        0,
        "Connections of each API at the same time; 0 takes what the limit of open files allows.",
        extension=True,
    )
    max_request_bytes: int = _flag(
        "int32",
        # The threads of the gRPC API may each hold one.
        16 * 2**20,
        "Largest message of the gRPC API; a body of the REST API has half as much again.",
        extension=True,
    )
    connection_idle_seconds: float = _flag(
        "float",
        # Load balancers keep a connection for ten minutes at most: it is they who close it.
        620.0,
        "Seconds that a connection may be without a request.",
        extension=True,
    )
    rest_api_read_seconds: float = _flag(
        "float",
        30.0,
        "Seconds for the head of a REST request, and for its body (and one for each 64 KiB).",
        extension=True,
    )
    request_memory_mib: int = _flag(
        "int32",
        1536,
        "Memory that requests in flight may take together, in MiB: a third as messages, the rest "
        "as the model runs. What finds no room waits, and is refused in the end.",
        extension=True,
    )
    exit_with_parent: bool = _flag(
        "bool", False, "Stop when standard input closes.", extension=True
    )
    enable_page: bool = _flag(
        "bool",
        False,
        "Serve a web page to try the model on, at / of the REST port.",
        extension=True,
    )
    page_examples: str = _flag(
        "string",
        "",
        "Folder of images that the page offers to try, each named by its class.",
        extension=True,
    )
    request_log_path: str = _flag(
        "string",
        "",
        "Folder for a log of requests and their answers; empty logs none.",
        extension=True,
    )
    request_log_sampling_rate: float = _flag(
        "float", 1.0, "Share of the requests that is logged, 0 to 1.", extension=True
    )
    model_signing_key: str = _flag(
        "string",
        "",
        "Public key (PEM): load only versions that its private key has signed, and as it signed "
        "them.",
        extension=True,
    )
    allowed_ops: str = _flag(
        "string",
        "",
        "Operations, separated by commas, that a model may run besides those that only compute: "
        "as for files, the network, Python.",
        extension=True,
    )
    log_format: str = _flag(
        "string", "text", "What log lines are: text, or json (one object a line).", extension=True
    )
    auth_token_file: str = _flag(
        "string", "", "Tokens, a line each: every request but health needs one.", extension=True
    )
    rest_allowed_hosts: str = _flag(
        "string",
        "",
        "Further names under which REST answers: a.example,*.b.example; * for any.",
        extension=True,
    )
    enable_reflection: bool = _flag(
        "bool", False, "Answer grpc.reflection; on loopback it always is.", extension=True
    )
    tracing: str = _flag(
        "string",
        "",
        "Where OpenTelemetry's spans of requests go: log, or the http address of a collector; "
        "empty makes none.",
        extension=True,
    )

    def check(self) -> None:
        """Refuses what no server can start with; files that flags name are not looked at.

        The first checks, their order and their words are those of `model_servers/server.cc`.

        Raises:
            StartError: with the first reason.
        """
        if not self.port and not self.grpc_socket_path:
            raise _invalid(
                "At least one of server_options.grpc_port or server_options.grpc_socket_path must "
                "be set."
            )
        if self.use_alts_credentials and self.ssl_config_file:
            raise _invalid(
                "Either use_alts_credentials must be false or ssl_config_file must be empty."
            )
        if not self.model_base_path and not self.model_config_file:
            raise _invalid(
                "Both server_options.model_base_path and server_options.model_config_file are "
                "empty!"
            )
        if self.batching_parameters_file and not self.enable_batching:
            raise _invalid(
                "server_options.batching_parameters_file is set without setting "
                "server_options.enable_batching to true."
            )
        if (
            self.tensorflow_intra_op_parallelism > 0
            and self.tensorflow_inter_op_parallelism > 0
            and self.tensorflow_session_parallelism > 0
        ):
            raise _invalid(
                "Either configure server_options.tensorflow_session_parallelism or "
                "(server_options.tensorflow_intra_op_parallelism, "
                "server_options.tensorflow_inter_op_parallelism) separately. You cannot configure "
                "all."
            )
        for flag in FLAGS:
            if flag.refused and getattr(self, flag.name) != flag.default:
                raise StartError(f"UNIMPLEMENTED: --{flag.name} is not supported: {flag.refused}")
        for name in ("grpc_max_threads", "rest_api_num_threads", "request_memory_mib"):
            if getattr(self, name) < 1:
                raise _invalid(f"--{name} must be positive. Received: {getattr(self, name)}")
        for name in ("drain_seconds", "lame_duck_seconds", "max_connections"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise _invalid(f"--{name} must be 0 or more. Received: {getattr(self, name)}")
        for name in ("max_request_bytes", "connection_idle_seconds", "rest_api_read_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise _invalid(f"--{name} must be positive. Received: {getattr(self, name)}")
        if not 0 <= self.request_log_sampling_rate <= 1:
            raise _invalid(
                "--request_log_sampling_rate must be between 0 and 1. Received: "
                f"{self.request_log_sampling_rate}"
            )
        if self.log_format not in ("text", "json"):
            raise _invalid(f"--log_format must be text or json. Received: {self.log_format}")
        if self.tracing not in ("", LOG) and not _COLLECTOR.match(self.tracing):
            raise _invalid(
                f"--tracing must be {LOG} or an address such as http://127.0.0.1:4318. Received: "
                f"{self.tracing}"
            )


def _invalid(text: str) -> StartError:
    return StartError(f"INVALID_ARGUMENT: {text}")


FLAGS = tuple(
    Flag(name=option.name, default=cast(FlagValue, option.default), **option.metadata)
    for option in fields(ServerOptions)
)
