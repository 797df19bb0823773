"""The command line of the model server: TF Serving's own flags.

`--flag=value` and `--flag value` are both read; a boolean is `--flag`, `--flag=true` or
`--flag=false`. Flags of TF Serving that this server does not have yet are refused when they are
set to anything but their default; those that only tune the C++ server are taken and ignored.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass


class StartError(Exception):
    """The server cannot start; the text is what follows `Failed to start server. Error: `."""


@dataclass(frozen=True)
class ServerOptions:
    """What the flags say.

    Raises:
        StartError: no port, or no model.
    """

    model_base_path: str = ""
    model_name: str = "default"
    host: str = "127.0.0.1"
    port: int = 8500
    file_system_poll_wait_seconds: int = 1
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    saved_model_tags: str = "serve"
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    per_process_gpu_memory_fraction: float = 0.0
    grpc_max_threads: int = 16
    enable_serialization_as_tensor_content: bool = False
    enable_grpc_healthcheck_service: bool = False
    drain_seconds: float = 30.0
    exit_with_parent: bool = False
    version: bool = False

    def __post_init__(self) -> None:
        if self.version:
            return
        if not 0 < self.port < 65536:
            raise StartError(
                f"INVALID_ARGUMENT: server_options.grpc_port is not set. (--port={self.port})"
            )
        if not self.model_base_path:
            raise StartError(
                "INVALID_ARGUMENT: Both server_options.model_base_path and "
                "server_options.model_config_file are empty!"
            )
        if not self.model_name:
            raise StartError("INVALID_ARGUMENT: --model_name is empty")
        if self.grpc_max_threads < 1:
            raise StartError(
                f"INVALID_ARGUMENT: --grpc_max_threads must be positive: {self.grpc_max_threads}"
            )


_HELP = {
    "model_base_path": "folder of version folders (required)",
    "model_name": "name by which clients ask for the model",
    "host": "address to listen on; 0.0.0.0 serves other machines too",
    "port": "port of the gRPC API",
    "file_system_poll_wait_seconds": "seconds between looks for new versions; 0 looks once",
    "max_num_load_retries": "how often a version that failed to load is tried again",
    "load_retry_interval_micros": "microseconds between two tries",
    "saved_model_tags": "tags of the MetaGraph to load, separated by commas",
    "tensorflow_session_parallelism": "threads for both of the next two; 0 is automatic",
    "tensorflow_intra_op_parallelism": "threads within an operation; 0 is automatic",
    "tensorflow_inter_op_parallelism": "operations at the same time; 0 is automatic",
    "per_process_gpu_memory_fraction": "share of GPU memory to take; 0 takes what is needed",
    "grpc_max_threads": "requests answered at the same time",
    "enable_serialization_as_tensor_content": "answer with tensor_content, not typed fields",
    "enable_grpc_healthcheck_service": "answer grpc.health.v1",
    "drain_seconds": "after SIGTERM, seconds for requests in flight to finish",
    "exit_with_parent": "stop when standard input closes",
    "version": "print the version and exit",
}

# Not here yet: refused unless they keep these defaults.
_UNSUPPORTED: dict[str, bool | int | str] = {
    "allow_version_labels_for_unavailable_models": False,
    "batching_parameters_file": "",
    "enable_batching": False,
    "enable_per_model_batching_parameters": False,
    "enable_signature_method_name_check": False,
    "grpc_socket_path": "",
    "model_config_file": "",
    "monitoring_config_file": "",
    "platform_config_file": "",
    "prefer_tflite_model": False,
    "rest_api_port": 0,
    "ssl_config_file": "",
    "tensorflow_session_config_file": "",
    "thread_pool_factory_config_file": "",
    "use_alts_credentials": False,
}

# Without a meaning here, or without one until a flag above is supported.
_IGNORED: dict[str, bool | int | str] = {
    "enable_model_warmup": True,
    "enable_profiler": True,
    "flush_filesystem_caches": True,
    "grpc_channel_arguments": "",
    "mixed_precision": "",
    "model_config_file_poll_wait_seconds": 0,
    "num_load_threads": 0,
    "num_request_iterations_for_warmup": 1,
    "num_unload_threads": 0,
    "remove_unused_fields_from_bundle_metagraph": True,
    "rest_api_enable_cors_support": False,
    "rest_api_num_threads": 0,
    "rest_api_timeout_in_ms": 30000,
    "skip_initialize_tpu": False,
    "xla_cpu_compilation_enabled": False,
}


def parse(argv: Sequence[str] | None = None) -> ServerOptions:
    """Reads the flags.

    Raises:
        StartError: a flag that is not supported, or options that make no sense together.
        SystemExit: `--help`, an unknown flag or an unreadable value (argparse says which).
    """
    parser = argparse.ArgumentParser(
        prog="signs-model-server",
        description="Serves the newest version of a SavedModel over TF Serving's gRPC API.",
        allow_abbrev=False,
    )
    defaults = {name: field.default for name, field in ServerOptions.__dataclass_fields__.items()}
    for name, default in defaults.items():
        _add(parser, name, default, f"{_HELP[name]} (default: {default})")
    for name, default in {**_UNSUPPORTED, **_IGNORED}.items():
        _add(parser, name, default, argparse.SUPPRESS)
    values = vars(parser.parse_args(argv))
    for name, default in _UNSUPPORTED.items():
        if values[name] != default:
            raise StartError(f"UNIMPLEMENTED: --{name} is not supported")
    return ServerOptions(**{name: values[name] for name in defaults})


def _add(parser: argparse.ArgumentParser, name: str, default: object, text: str) -> None:
    if isinstance(default, bool):
        parser.add_argument(
            f"--{name}", type=_boolean, nargs="?", const=True, default=default, help=text
        )
    else:
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")
