"""A small SavedModel with many signatures, and real servers that serve it on loopback."""

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_server import ServerProcess
from model_server.process import free_port
from signs import features

CLASSES = ("red", "green", "blue")
KNOWN_FROM = 0.2  # the largest share of a colour that the model knows must be above it
ECHOED = [
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bool", "string"),
]


def solid_png(red: int, green: int, blue: int) -> bytes:
    """An 8x8 picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (red, green, blue)).save(buffer, "PNG")
    return buffer.getvalue()


RED, GREEN, BLUE = solid_png(255, 0, 0), solid_png(0, 255, 0), solid_png(0, 0, 255)


def _save_model(path: Path) -> None:
    import tensorflow as tf

    class Model(tf.Module):
        """The signs contract (which colour is it?), and signatures to try types and errors on."""

        def __init__(self):
            super().__init__()
            self.scale = tf.Variable(10.0)
            self.classes = tf.constant(CLASSES)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.IMAGES_INPUT)])
        def serve_images(self, image_bytes):
            def mean_colour(encoded):
                image = tf.io.decode_image(encoded, 3, expand_animations=False)
                return tf.reduce_mean(tf.cast(image, tf.float32) / 255.0, [0, 1])

            colours = tf.map_fn(
                mean_colour, image_bytes, fn_output_signature=tf.TensorSpec([3], tf.float32)
            )
            probabilities = tf.nn.softmax(self.scale * colours)
            class_id = tf.argmax(probabilities, axis=1)
            return {
                features.PROBABILITIES: probabilities,
                features.PREDICTED_CLASS_ID: class_id,
                features.PREDICTED_CLASS_NAME: tf.gather(self.classes, class_id),
                features.CLASSES: tf.broadcast_to(self.classes, tf.shape(probabilities)),
                features.CONFIDENCE: tf.reduce_max(tf.nn.softmax(self.scale / 2 * colours), axis=1),
                features.KNOWN: tf.reduce_max(colours, axis=1) > KNOWN_FROM,
            }

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.EXAMPLES_INPUT)])
        def serving_default(self, examples):
            spec = {features.IMAGE: tf.io.FixedLenFeature([], tf.string)}
            return self.serve_images(tf.io.parse_example(examples, spec)[features.IMAGE])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.CLASSIFY_INPUT)])
        def classify(self, inputs):
            answer = self.serving_default(inputs)
            return {
                features.CLASSES: answer[features.CLASSES],
                features.SCORES: answer[features.PROBABILITIES],
            }

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 2], tf.float32, "a"),
                tf.TensorSpec([None, 2], tf.int32, "b"),
            ]
        )
        def add(self, a, b):
            return {"sum": a + tf.cast(b, tf.float32), "b_again": b}

        @tf.function(input_signature=[tf.TensorSpec([], tf.int64, "n")])
        def count(self, n):
            """Takes time in proportion to n."""
            counted = tf.while_loop(lambda i: i < n, lambda i: i + 1, [tf.constant(0, tf.int64)])
            return {"counted": counted[0]}

        @tf.function(
            input_signature=[[tf.TensorSpec(None, tf.as_dtype(name), name) for name in ECHOED]]
        )
        def echo(self, values):
            return {
                f"{name}_again": tf.identity(value)
                for name, value in zip(ECHOED, values, strict=True)
            }

    model = Model()
    names = (
        *(features.SERVE_IMAGES, features.SERVING_DEFAULT, features.CLASSIFY),
        *("add", "count", "echo"),
    )
    tf.saved_model.save(model, str(path), signatures={name: getattr(model, name) for name in names})


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one SavedModel, to be copied as a version."""
    path = tmp_path_factory.mktemp("model") / "saved"
    _save_model(path)
    return path


@pytest.fixture
def push(saved_model: Path) -> Callable[[Path, int], Path]:
    """Puts a version under a base path as TFX's Pusher does: `saved_model.pb` comes last."""

    def push_version(base_path: Path, version: int) -> Path:
        target = base_path / str(version)
        shutil.copytree(saved_model, target, ignore=shutil.ignore_patterns("saved_model.pb"))
        shutil.copy(saved_model / "saved_model.pb", target)
        return target

    return push_version


@pytest.fixture(scope="session")
def rest_port() -> int:
    """Where `server` has its REST API."""
    return free_port()


@pytest.fixture(scope="session")
def server(
    saved_model: Path, tmp_path_factory: pytest.TempPathFactory, rest_port: int
) -> Iterator[ServerProcess]:
    """One server for all tests that only ask it: model "signs", version 3."""
    base_path = tmp_path_factory.mktemp("signs")
    shutil.copytree(saved_model, base_path / "3")
    with ServerProcess(
        base_path,
        flags=[
            "--enable_grpc_healthcheck_service",
            "--grpc_max_threads=4",
            f"--rest_api_port={rest_port}",
        ],
    ) as running:
        yield running


@pytest.fixture
def images() -> list[np.ndarray]:
    """One uint8 [8, 8, 3] array for each class, in the order of the classes."""
    return [np.asarray(Image.open(io.BytesIO(png))) for png in (RED, GREEN, BLUE)]
