"""The messages load without TensorFlow, and are TensorFlow's own all the same."""

import importlib
import subprocess
import sys

from signs import protos


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tensorflow_is_whole_afterwards_and_shares_the_classes():
    code = """
import sys
from signs import protos
assert not [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
assert protos.TensorProto is tensor_pb2.TensorProto
request = protos.PredictRequest()
request.inputs["a"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
print(tf.make_ndarray(request.inputs["a"]).tolist())
from signs import client
"""
    assert run(code) == "[1.0, 2.0]\n"


def test_tensorflow_that_is_imported_already_is_left_alone():
    import tensorflow  # noqa: F401

    before = dict(sys.modules)
    importlib.reload(protos)
    assert all(sys.modules[name] is module for name, module in before.items())
