"""Text-format files: what is read, and TF Serving's words for what cannot be."""

import grpc
import pytest

from model_server.configs.protos import BatchingParameters, MonitoringConfig, SSLConfig
from model_server.configs.read import ConfigError, read


def test_batching_parameters(tmp_path):
    path = tmp_path / "batching.txt"
    path.write_text(
        """
        max_batch_size { value: 128 }
        batch_timeout_micros: { value: 0 },
        num_batch_threads < value: 8 >;
        # a comment
        allowed_batch_sizes: [2, 4]
        allowed_batch_sizes: 128
        pad_variable_length_inputs: true
        enable_large_batch_splitting { value: true }
        thread_pool_name { value: 'pool' }
        """
    )
    parameters = read(path, BatchingParameters())
    assert parameters.max_batch_size.value == 128
    assert parameters.HasField("batch_timeout_micros")
    assert not parameters.HasField("max_enqueued_batches")
    assert parameters.num_batch_threads.value == 8
    assert list(parameters.allowed_batch_sizes) == [2, 4, 128]
    assert parameters.pad_variable_length_inputs
    assert parameters.enable_large_batch_splitting.value
    assert parameters.thread_pool_name.value == "pool"


def test_blanks_and_comments_are_an_empty_message(tmp_path):
    path = tmp_path / "blank.txt"
    path.write_text(" \n# nothing\n")
    assert read(path, MonitoringConfig()) == MonitoringConfig()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("max_batch_size: 8", 'Expected "{"'),
        ("nosuch_field: 1", 'no field named "nosuch_field"'),
        ('max_batch_size { value: "8" }', "Couldn't parse integer"),
        ("max_batch_size { value: 8 } max_batch_size { value: 8 }", "should not have multiple"),
        ("max_batch_size { ", 'Expected "}"'),
        (b"\xff\xfe\x00", ""),
        (b"\x00", ""),
    ],
)
def test_what_is_not_such_a_message(tmp_path, caplog, text, reason):
    path = tmp_path / "wrong.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        read(path, BatchingParameters())
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value) == f"Invalid protobuf file: '{path}'"
    assert "Error parsing text-format tensorflow.serving.BatchingParameters: " in caplog.text
    assert reason in caplog.text


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "empty").touch()
    for name, code, reason in [
        ("missing", grpc.StatusCode.NOT_FOUND, "No such file or directory"),
        ("empty", grpc.StatusCode.INVALID_ARGUMENT, "Invalid argument"),
        (".", grpc.StatusCode.NOT_FOUND, "No such device"),
        ("empty/x", grpc.StatusCode.FAILED_PRECONDITION, "Not a directory"),
    ]:
        path = f"{tmp_path}/{name}"
        with pytest.raises(ConfigError) as caught:
            read(path, SSLConfig())
        assert (caught.value.code, str(caught.value)) == (code, f"{path}; {reason}")
