"""The command line: TF Serving's flags, its rules for reading them, the words of its refusals."""

import re

import pytest

from model_server import main
from model_server.flags import UsageError, parse, usage
from model_server.options import FLAGS, ServerOptions
from tests import ROOT

BASE = "--model_base_path=/models/m"


def option(name: str, *flags: str) -> object:
    options, unknown = parse(flags)
    assert unknown == []
    return getattr(options, name)


def test_every_flag_of_tf_serving_is_known_with_its_default():
    """`model_servers/main.cc` and `server.h`; defaults that depend on the CPUs are left out."""
    assert {flag.name: flag.default for flag in FLAGS if not flag.extension} | {
        "rest_api_num_threads": None,
        "grpc_max_threads": None,
        "num_tflite_pools": None,
    } == {
        "port": 8500,
        "grpc_socket_path": "",
        "rest_api_port": 0,
        "rest_api_num_threads": None,
        "rest_api_timeout_in_ms": 30000,
        "rest_api_enable_cors_support": False,
        "enable_batching": False,
        "allow_version_labels_for_unavailable_models": False,
        "batching_parameters_file": "",
        "enable_per_model_batching_parameters": False,
        "model_config_file": "",
        "model_config_file_poll_wait_seconds": 0,
        "model_name": "default",
        "model_base_path": "",
        "num_load_threads": 0,
        "num_unload_threads": 0,
        "max_num_load_retries": 5,
        "load_retry_interval_micros": 60000000,
        "file_system_poll_wait_seconds": 1,
        "flush_filesystem_caches": True,
        "tensorflow_session_parallelism": 0,
        "tensorflow_session_config_file": "",
        "tensorflow_intra_op_parallelism": 0,
        "tensorflow_inter_op_parallelism": 0,
        "use_alts_credentials": False,
        "ssl_config_file": "",
        "platform_config_file": "",
        "per_process_gpu_memory_fraction": 0.0,
        "saved_model_tags": "serve",
        "grpc_channel_arguments": "",
        "grpc_max_threads": None,
        "enable_model_warmup": True,
        "num_request_iterations_for_warmup": 0,
        "version": False,
        "monitoring_config_file": "",
        "remove_unused_fields_from_bundle_metagraph": True,
        "prefer_tflite_model": False,
        "num_tflite_pools": None,
        "num_tflite_interpreters_per_pool": 1,
        "enable_signature_method_name_check": False,
        "xla_cpu_compilation_enabled": False,
        "xla_gpu_compilation_enabled": False,
        "enable_profiler": True,
        "thread_pool_factory_config_file": "",
        "mixed_precision": "",
        "skip_initialize_tpu": False,
        "enable_grpc_healthcheck_service": False,
        "enable_serialization_as_tensor_content": False,
    }


def test_the_flags_that_tf_serving_has_not():
    assert {flag.name: flag.default for flag in FLAGS if flag.extension} == {
        "host": "127.0.0.1",
        "drain_seconds": 30.0,
        "lame_duck_seconds": 0.0,
        "max_connections": 0,
        "max_request_bytes": 16 * 2**20,
        "connection_idle_seconds": 620.0,
        "rest_api_read_seconds": 30.0,
        "request_memory_mib": 1536,
        "exit_with_parent": False,
        "enable_page": False,
        "page_examples": "",
        "request_log_path": "",
        "request_log_sampling_rate": 1.0,
        "model_signing_key": "",
        "allowed_ops": "",
        "log_format": "text",
        "auth_token_file": "",
        "rest_allowed_hosts": "",
        "enable_reflection": False,
        "tracing": "",
    }


def test_every_flag_is_refused_ignored_or_used():
    """Flags are refused or ignored for a reason that is told; all others are read somewhere."""
    assert [flag.name for flag in FLAGS if flag.refused] == [
        "use_alts_credentials",
        "platform_config_file",
        "thread_pool_factory_config_file",
    ]
    assert [flag.name for flag in FLAGS if flag.ignored] == [
        "num_load_threads",
        "num_unload_threads",
        "flush_filesystem_caches",
        "remove_unused_fields_from_bundle_metagraph",
        "prefer_tflite_model",
        "num_tflite_pools",
        "num_tflite_interpreters_per_pool",
        "xla_cpu_compilation_enabled",
        "xla_gpu_compilation_enabled",
        "skip_initialize_tpu",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("8600", 8600), (" 7 ", 7), ("+7", 7), ("-7", -7), ("007", 7), ("-2147483648", -(2**31))],
)
def test_integers(text, value):
    assert option("port", f"--port={text}") == value


def test_wide_integers_strings_and_floats():
    assert option("load_retry_interval_micros", "--load_retry_interval_micros=-4294967296") == (
        -4294967296
    )
    assert option("model_name", "--model_name=a=b c ") == "a=b c "
    assert option("model_name", "--model_name=") == ""
    assert option("per_process_gpu_memory_fraction", "--per_process_gpu_memory_fraction=5e-1") == (
        0.5
    )


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--enable_batching", True),
        ("--enable_batching=true", True),
        ("--enable_batching=TRUE", True),
        ("--enable_batching=1", True),
        ("--enable_batching=false", False),
        ("--enable_batching=False", False),
        ("--enable_batching=0", False),
    ],
)
def test_booleans(flag, value):
    assert option("enable_batching", flag) is value


def test_the_last_of_two_counts():
    assert option("port", "--port=1", "--port=2") == 2


@pytest.mark.parametrize(
    ("flag", "name", "value"),
    [
        ("--port=x", "port", "x"),
        ("--port=", "port", ""),
        ("--port=8500x", "port", "8500x"),
        ("--port=1_0", "port", "1_0"),
        ("--port=8.5", "port", "8.5"),
        ("--port=2147483648", "port", "2147483648"),
        ("--load_retry_interval_micros=9223372036854775808", "load_retry_interval_micros", "9"),
        ("--enable_batching=yes", "enable_batching", "yes"),
        ("--enable_batching=", "enable_batching", ""),
        ("--drain_seconds=1_0", "drain_seconds", "1_0"),
        ("--drain_seconds=long", "drain_seconds", "long"),
    ],
)
def test_values_that_cannot_be_read_end_with_the_usage(flag, name, value, caplog, capsys):
    assert main([BASE, "--nosuch", flag]) == 255
    assert f"Couldn't interpret value {value}" in caplog.text
    assert f" for flag {name}." in caplog.text
    assert capsys.readouterr().out == usage("signs-model-server")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nosuch=1"],
        ["-port=1"],
        ["port=1"],
        ["--port", "8600"],
        ["--enable_batchings"],
        ["--Port=1"],
        ["x", "--help"],
        ["--", "--port=1"],
        ["--", "--help"],
        [""],
    ],
)
def test_unknown_arguments_change_nothing(arguments):
    assert parse(arguments) == (ServerOptions(), arguments)


def test_an_unknown_argument_is_told_and_the_server_goes_on(capsys):
    assert main(["--port", "8600", "--nosuch"]) == 255
    out = capsys.readouterr().out
    assert out.startswith("unknown argument: --port\nusage: signs-model-server\nFlags:\n\t--port=")
    assert out.endswith(
        "Failed to start server. Error: INVALID_ARGUMENT: Both server_options.model_base_path and "
        "server_options.model_config_file are empty!\n"
    )


def test_help_comes_first_or_is_an_unknown_argument(capsys):
    with pytest.raises(UsageError):
        parse(["--port=1", "--help", "--nosuch"])
    assert main(["--help"]) == 255
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "usage: signs-model-server",
        "Flags:",
        "\t--port=8500                      \tint32\tTCP port of the gRPC API; 0 listens on none.",
    ]
    assert (
        '\t--model_name="default"           \tstring\tName by which clients ask for the model.'
        in (lines)
    )
    assert any(line.startswith("\t--enable_batching=false          \tbool\t") for line in lines)
    assert any(
        line.startswith("\t--load_retry_interval_micros=60000000\tint64\t") for line in lines
    )
    assert any(
        line.startswith("\t--per_process_gpu_memory_fraction=0.000000\tfloat\t") for line in lines
    )
    extensions = lines[lines.index("Flags that TF Serving has not:") + 1 :]
    assert extensions[0].startswith('\t--host="127.0.0.1"')
    assert len(extensions) == sum(flag.extension for flag in FLAGS)


def test_the_version_needs_nothing_else(capsys):
    assert main(["--version", "--nosuch"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    # Scripts take what follows the colon for the version.
    assert re.fullmatch(r"TensorFlow ModelServer: [0-9][0-9a-z.+]*", first)
    assert re.fullmatch(r"TensorFlow Library: 2[0-9a-z.+]*", second)


def test_ignored_flags_are_told(caplog, capsys):
    flags = ["--num_load_threads=2", "--flush_filesystem_caches=true", "--model_config_file=/no"]
    assert main(flags) == 255
    assert "--num_load_threads has no effect: every model loads in a thread of its own" in (
        caplog.text
    )
    assert "flush_filesystem_caches" not in caplog.text
    assert capsys.readouterr().out == (
        "Failed to start server. Error: NOT_FOUND: /no; No such file or directory\n"
    )


def test_the_documentation_tells_what_becomes_of_every_flag():
    text = (ROOT / "docs/tf_serving.md").read_text()
    rows = dict(re.findall(r"^\| `--(\w+)` \| .+ \| (.+) \|$", text, re.MULTILINE))
    told = {
        flag.name: f"refused: {flag.refused}"
        if flag.refused
        else f"taken, no effect: {flag.ignored}"
        if flag.ignored
        else flag.usage
        if flag.extension
        else "supported"
        for flag in FLAGS
    }
    assert rows == told
