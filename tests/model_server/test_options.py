"""What no server can start with, in TF Serving's order and words."""

import pytest

from model_server.flags import parse
from model_server.options import StartError

BASE = "--model_base_path=/models/m"


def start_error(*flags: str) -> str:
    with pytest.raises(StartError) as caught:
        parse(flags)[0].check()
    return str(caught.value)


def test_refusals_in_their_order():
    nothing = [
        "--port=0",
        "--use_alts_credentials",
        "--ssl_config_file=x",
        "--batching_parameters_file=x",
        "--tensorflow_intra_op_parallelism=1",
        "--tensorflow_inter_op_parallelism=1",
        "--tensorflow_session_parallelism=1",
        "--thread_pool_factory_config_file=x",
        "--grpc_max_threads=0",
    ]
    assert start_error(*nothing) == (
        "INVALID_ARGUMENT: At least one of server_options.grpc_port or "
        "server_options.grpc_socket_path must be set."
    )
    nothing[0] = "--grpc_socket_path=s"
    assert start_error(*nothing) == (
        "INVALID_ARGUMENT: Either use_alts_credentials must be false or ssl_config_file must be "
        "empty."
    )
    nothing[1] = "--port=0"
    assert start_error(*nothing) == (
        "INVALID_ARGUMENT: Both server_options.model_base_path and "
        "server_options.model_config_file are empty!"
    )
    nothing.append(BASE)
    assert start_error(*nothing) == (
        "INVALID_ARGUMENT: server_options.batching_parameters_file is set without setting "
        "server_options.enable_batching to true."
    )
    nothing.append("--enable_batching")
    assert start_error(*nothing) == (
        "INVALID_ARGUMENT: Either configure server_options.tensorflow_session_parallelism or "
        "(server_options.tensorflow_intra_op_parallelism, "
        "server_options.tensorflow_inter_op_parallelism) separately. You cannot configure all."
    )
    nothing.append("--tensorflow_session_parallelism=0")
    assert start_error(*nothing) == (
        "UNIMPLEMENTED: --thread_pool_factory_config_file is not supported: it names C++ classes "
        "to be linked in"
    )
    nothing.append("--thread_pool_factory_config_file=")
    assert start_error(*nothing) == (
        "INVALID_ARGUMENT: --grpc_max_threads must be positive. Received: 0"
    )


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--rest_api_num_threads=0", "--rest_api_num_threads must be positive. Received: 0"),
        ("--request_memory_mib=0", "--request_memory_mib must be positive. Received: 0"),
        ("--drain_seconds=-1", "--drain_seconds must be 0 or more. Received: -1.0"),
        ("--drain_seconds=nan", "--drain_seconds must be 0 or more. Received: nan"),
        ("--drain_seconds=inf", "--drain_seconds must be 0 or more. Received: inf"),
        (
            "--request_log_sampling_rate=1.5",
            "--request_log_sampling_rate must be between 0 and 1. Received: 1.5",
        ),
        (
            "--tracing=collector:4317",
            "--tracing must be log or an address such as http://127.0.0.1:4318. Received: "
            "collector:4317",
        ),
        ("--log_format=xml", "--log_format must be text or json. Received: xml"),
    ],
)
def test_refusals_of_our_own(flag, text):
    assert start_error(BASE, flag) == f"INVALID_ARGUMENT: {text}"


def test_a_configuration_file_instead_of_a_base_path():
    parse(["--model_config_file=x"])[0].check()
