"""The command line: TF Serving's flags, and the words of its refusals."""

import socket
import subprocess
import sys
import time

import pytest

from serving.server.flags import ServerOptions, StartError, parse
from serving.server.main import main

BASE = "--model_base_path=/models/m"


def start_error(*flags: str) -> str:
    with pytest.raises(StartError) as caught:
        parse(flags)
    return str(caught.value)


def test_defaults_are_those_of_tf_serving():
    options = parse([BASE])
    assert options == ServerOptions(model_base_path="/models/m")
    assert (options.port, options.model_name) == (8500, "default")
    assert options.file_system_poll_wait_seconds == 1
    assert (options.max_num_load_retries, options.load_retry_interval_micros) == (5, 60_000_000)
    assert options.host == "127.0.0.1"


def test_both_spellings():
    assert parse([BASE, "--port=8600"]).port == parse([BASE, "--port", "8600"]).port == 8600


@pytest.mark.parametrize(
    ("flag", "value"),
    [("", False), ("--f", True), ("--f=true", True), ("--f=false", False), ("--f=False", False)],
)
def test_booleans(flag, value):
    flag = flag.replace("--f", "--enable_serialization_as_tensor_content")
    assert parse([BASE, *([flag] if flag else [])]).enable_serialization_as_tensor_content is value


@pytest.mark.parametrize(
    "flag", ["--port=x", "--nope=1", "--enable_grpc_healthcheck_service=x", "x"]
)
def test_unreadable_flags(flag, capsys):
    with pytest.raises(SystemExit) as caught:
        parse([BASE, flag])
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_refusals():
    assert start_error() == (
        "INVALID_ARGUMENT: Both server_options.model_base_path and "
        "server_options.model_config_file are empty!"
    )
    assert start_error(BASE, "--port=0") == (
        "INVALID_ARGUMENT: server_options.grpc_port is not set. (--port=0)"
    )
    assert start_error(BASE, "--model_name=") == "INVALID_ARGUMENT: --model_name is empty"
    assert start_error(BASE, "--grpc_max_threads=0").startswith("INVALID_ARGUMENT: --grpc_max_thr")


@pytest.mark.parametrize(
    "flag", ["rest_api_port=8501", "enable_batching", "model_config_file=x", "ssl_config_file=x"]
)
def test_flags_that_are_not_supported_yet_are_refused(flag):
    name = flag.partition("=")[0]
    assert start_error(BASE, f"--{flag}") == f"UNIMPLEMENTED: --{name} is not supported"


def test_defaults_of_unsupported_flags_and_tuning_flags_are_taken():
    parse([BASE, "--rest_api_port=0", "--enable_batching=false", "--enable_model_warmup=true"])
    parse([BASE, "--flush_filesystem_caches=false", "--num_load_threads=2"])


def test_main_prints_the_error_as_tf_serving_does(capsys):
    assert main([]) == 255
    assert capsys.readouterr().out.startswith(
        "Failed to start server. Error: INVALID_ARGUMENT: Both server_options.model_base_path"
    )


def test_port_that_is_taken_is_told_at_once(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        started = time.monotonic()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "serving.server.main"),
                *(f"--model_base_path={tmp_path}", f"--port={port}"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert time.monotonic() - started < 3
    assert done.returncode == 255
    assert done.stdout == (
        "Failed to start server. Error: INVALID_ARGUMENT: Failed to BuildAndStart gRPC server at "
        f"127.0.0.1:{port}: Address already in use. Stop what listens there, or choose another "
        "--port.\n"
    )
    assert "Traceback" not in done.stderr


def test_address_that_is_not_ours(tmp_path, capsys):
    assert main([f"--model_base_path={tmp_path}", "--host=192.0.2.1"]) == 255
    assert "Cannot assign requested address" in capsys.readouterr().out


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("signs-model-server ")
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "--model_base_path" in capsys.readouterr().out
