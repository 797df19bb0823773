"""TensorFlow is imported without Keras, which is there for who wants it later."""

import os
import subprocess
import sys

CODE = """
import sys
from model_server.without_keras import without_keras
with without_keras():
    import tensorflow as tf
assert "keras" not in sys.modules and "tf_keras" not in sys.modules, "it was imported"
import keras
assert tf.keras.layers.Dense is keras.layers.Dense
with without_keras():
    assert sys.modules["keras"] is keras
assert sys.modules["keras"] is keras
"""


def test_keras_is_imported_by_those_alone_who_ask_for_it() -> None:
    # TensorFlow takes tf_keras for its Keras where this says so, and TFMA makes it say so.
    env = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, env=env
    )
    assert done.returncode == 0, done.stderr
