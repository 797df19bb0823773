"""The messages need no TensorFlow, do not meet its own, and are the same on the wire."""

import re
import subprocess
import sys

import grpc
import pytest

from signs import protos
from signs.protos import pool

_BOTH = """
theirs = predict_pb2.PredictRequest()
theirs.inputs["a"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
ours = protos.PredictRequest.FromString(theirs.SerializeToString())
assert type(ours) is not type(theirs)
assert tensors.decode(ours.inputs["a"]).tolist() == [1.0, 2.0]
assert tf.train.Example.FromString(protos.Example().SerializeToString()) == tf.train.Example()
"""
_OURS = "from signs import protos, tensors; protos.PredictRequest\n"
_THEIRS = "import tensorflow as tf; from tensorflow_serving.apis import predict_pb2\n"


@pytest.mark.parametrize("imports", [_OURS + _THEIRS, _THEIRS + _OURS], ids=["first", "last"])
def test_tensorflow_in_the_same_process(imports):
    code = imports + _BOTH
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_what_is_committed_is_what_the_locked_packages_have():
    """If it fails: `make protos`."""
    from signs.protos.generator import descriptor_set, type_stubs

    files = descriptor_set.collect()
    assert pool.FILE.read_bytes() == files.SerializeToString(deterministic=True)
    assert pool.FILE.with_name("__init__.pyi").read_text() == type_stubs.text(files)


def test_messages_enums_and_stubs_by_name():
    request = protos.PredictRequest(model_spec={"name": "signs", "version": {"value": 3}})
    assert request.model_spec.version.value == 3
    assert protos.PredictRequest is type(request)
    assert protos.DataType.Name(protos.DataType.DT_STRING) == "DT_STRING"
    assert protos.ModelVersionStatus.State.Name(protos.ModelVersionStatus.AVAILABLE) == "AVAILABLE"
    example = protos.Example()
    example.features.feature["image"].bytes_list.value.append(b"x")
    assert example.SerializeToString().hex() == "0a100a0e0a05696d61676512050a030a0178"
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        protos.Nothing  # noqa: B018


def test_a_message_in_an_any():
    answer = protos.GetModelMetadataResponse()
    signatures = protos.SignatureDefMap()
    signatures.signature_def["look"].method_name = "tensorflow/serving/predict"
    answer.metadata["signature_def"].Pack(signatures)
    found = protos.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    assert found == signatures


def test_all_that_the_types_name_is_there():
    text = pool.FILE.with_name("__init__.pyi").read_text()
    messages = re.findall(r"^class (\w+)\(Message\):", text, re.MULTILINE)
    stubs = re.findall(r"^class (\w+Stub):", text, re.MULTILINE)
    assert len(messages) > 50
    assert len(stubs) == 3
    assert all(getattr(protos, name).__name__ == name for name in messages + stubs)


def test_tensorflows_own_stubs_ask_our_server(server):
    """The other way round, our client and a server of theirs: transports/test_grpc_transport.py."""
    from tensorflow import make_ndarray, make_tensor_proto
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    with grpc.insecure_channel(server.address) as channel:
        predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest(model_spec={"name": "signs", "signature_name": "add"})
        request.inputs["a"].CopyFrom(make_tensor_proto([[1.0, 2.0]]))
        request.inputs["b"].CopyFrom(make_tensor_proto([[3, 4]]))
        answer = predictions.Predict(request, timeout=30)
        assert make_ndarray(answer.outputs["sum"]).tolist() == [[4, 6]]
        asked = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec={"name": "signs"}, metadata_field=["signature_def"]
        )
        signatures = get_model_metadata_pb2.SignatureDefMap()
        metadata = predictions.GetModelMetadata(asked, timeout=30).metadata["signature_def"]
        assert metadata.Unpack(signatures)
        assert signatures.signature_def["add"].inputs["b"].dtype == 3
        asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "signs"})
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        (version,) = models.GetModelStatus(asked, timeout=30).model_version_status
        assert (version.version, version.state) == (3, 30)
