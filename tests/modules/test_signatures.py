"""The export is loaded three times: by TensorFlow 2, in a session, and by a real model server."""

import base64
import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from model_server import ServerProcess
from model_server.process import free_port
from modules.calibration import Calibration
from modules.network import build_resnet
from modules.signatures import ServedModel, export
from tests import bombs
from tests.modules.examples import example, noise, png

CLASSES = ["nought", "eins", "δύο"]
TEMPERATURE = 2.5
Answer = dict[str, np.ndarray]
Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = build_resnet((16, 16, 3), len(CLASSES), blocks=(1,), width=4)
    # Weights apart from their initial values, of which a loader could make the same by itself.
    rng = np.random.default_rng(3)
    model.set_weights([value + rng.uniform(0, 0.3, value.shape) for value in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def logits(network, pictures) -> np.ndarray:
    """The pictures' logits, by numpy from the last layer's input."""
    trunk = keras.Model(network.inputs, network.get_layer("flatten").output)
    kernel, bias = network.layers[-1].get_weights()
    pixels = np.stack(pictures).astype(np.float32) / 255
    return trunk.predict(pixels, verbose=0) @ kernel + bias


@pytest.fixture(scope="module")
def calibration(logits) -> Calibration:
    """Of the five pictures it knows those three whose energies are the lowest."""
    scores = np.sort(np.logaddexp.reduce(logits, axis=1))
    return Calibration(TEMPERATURE, float(scores[1:3].mean()))


@pytest.fixture(scope="module")
def exported(network, calibration, transform_graph, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("exported")
    transform_output = tft.TFTransformOutput(str(transform_graph))
    export(ServedModel(network, transform_output, CLASSES, calibration), folder)
    return str(folder)


def load(folder: str) -> Ask:
    model = tf.saved_model.load(folder)

    def ask(signature: str, **inputs: list[bytes]) -> Answer:
        tensors = {name: tf.constant(values, tf.string) for name, values in inputs.items()}
        return {
            name: value.numpy() for name, value in model.signatures[signature](**tensors).items()
        }

    ask.model = model  # its variables live as long as it does
    return ask


def load_in_session(folder: str) -> Ask:
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta = tf.compat.v1.saved_model.load(session, ["serve"], folder)

    def ask(signature: str, **inputs: list[bytes]) -> Answer:
        definition = meta.signature_def[signature]
        return session.run(
            {name: tensor.name for name, tensor in definition.outputs.items()},
            {definition.inputs[name].name: values for name, values in inputs.items()},
        )

    return ask


@pytest.fixture(scope="module", params=[load, load_in_session])
def ask(request, exported) -> Ask:
    return request.param(exported)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return noise(5)


def assert_answers(answer: Answer, network: keras.Model, pictures: list[np.ndarray]) -> None:
    """The network's probabilities for the pictures, with ids and names that agree."""
    assert set(answer) == {
        *("probabilities", "classes", "class_id", "class_name", "confidence", "known")
    }
    expected = network.predict(np.stack(pictures).astype(np.float32) / 255, verbose=0)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(answer["class_id"], expected.argmax(axis=1))
    names = [name.decode() for name in answer["class_name"]]
    assert names == [CLASSES[index] for index in answer["class_id"]]
    told = [[name.decode() for name in row] for row in answer["classes"]]
    assert told == [CLASSES] * len(pictures)
    assert answer["probabilities"].dtype == np.float32
    assert answer["class_id"].dtype == np.int64


def test_images_are_answered(ask, network, pictures):
    answer = ask("serve_images", image_bytes=[png(picture) for picture in pictures])
    assert_answers(answer, network, pictures)


def test_examples_are_answered(ask, network, pictures):
    answer = ask("serving_default", examples=[example(png(picture)) for picture in pictures])
    assert_answers(answer, network, pictures)


def test_how_sure_an_answer_is(ask, pictures, logits):
    answer = ask("serve_images", image_bytes=[png(picture) for picture in pictures])
    powers = np.exp(logits / TEMPERATURE)
    expected = powers.max(axis=1) / powers.sum(axis=1)
    np.testing.assert_allclose(answer["confidence"], expected, atol=1e-5)
    assert answer["confidence"].dtype == np.float32
    order = logits.max(axis=1).argsort()
    assert answer["known"][order].tolist() == [False, False, True, True, True]
    assert answer["known"].dtype == np.bool_


def test_examples_are_classified(ask, network, pictures):
    answer = ask("classify", inputs=[example(png(picture)) for picture in pictures])
    images = ask("serve_images", image_bytes=[png(picture) for picture in pictures])
    np.testing.assert_array_equal(answer["scores"], images["probabilities"])
    names = [[name.decode() for name in row] for row in answer["classes"]]
    assert names == [CLASSES] * len(pictures)


def test_an_example_needs_its_image_alone(ask, network, pictures):
    bare = tf.train.Example()
    bare.features.feature["image"].bytes_list.value.append(png(pictures[0]))
    answer = ask("serving_default", examples=[bare.SerializeToString()])
    assert_answers(answer, network, pictures[:1])


def test_every_class_can_win(network, transform_graph):
    """With weights that favour one class after the other, its id and its name come out."""
    transform_output = tft.TFTransformOutput(str(transform_graph))
    picture = tf.constant([png(noise(1)[0])])
    for index, name in enumerate(CLASSES):
        logits = tf.function(lambda pixels, index=index: 1000 * tf.one_hot([index], 3))
        model = ServedModel(network, transform_output, CLASSES, Calibration(1, 0), logits)
        answer = model.serve_images(picture)
        assert answer["class_id"].numpy().tolist() == [index]
        assert answer["class_name"].numpy()[0].decode() == name


def test_a_picture_of_another_size_is_prepared(ask):
    answer = ask("serve_images", image_bytes=[png(noise(1, 40)[0]), png(noise(1, 9)[0])])
    assert answer["probabilities"].shape == (2, 3)
    np.testing.assert_allclose(answer["probabilities"].sum(axis=1), 1, atol=1e-5)


def test_transform_features_gives_pixels_and_labels(ask, pictures):
    examples = [example(png(picture), label) for label, picture in enumerate(pictures)]
    answer = ask("transform_features", examples=examples)
    assert set(answer) == {"pixels", "label"}
    np.testing.assert_array_equal(np.rint(answer["pixels"] * 255), pictures)
    assert answer["pixels"].dtype == np.float32
    assert answer["label"].tolist() == [0, 1, 2, 3, 4]
    assert answer["label"].dtype == np.int64


@pytest.mark.parametrize("raw", [b"", b"not an image", png(noise(1)[0])[:60]])
def test_bytes_that_are_no_image_are_an_invalid_argument(ask, pictures, raw):
    with pytest.raises(tf.errors.InvalidArgumentError):
        ask("serve_images", image_bytes=[png(pictures[0]), raw])


@pytest.mark.parametrize("signature", ["serving_default", "transform_features"])
@pytest.mark.parametrize("kind", bombs.EXAMPLES)
def test_bytes_that_are_no_example_are_refused(ask, kind, signature):
    with pytest.raises((tf.errors.DataLossError, tf.errors.InvalidArgumentError)):
        ask(signature, examples=[bombs.EXAMPLES[kind]])


def test_an_example_without_an_image_is_an_invalid_argument(ask):
    with pytest.raises(tf.errors.InvalidArgumentError):
        ask("serving_default", examples=[tf.train.Example().SerializeToString()])


def test_signatures_as_clients_see_them(exported):
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], exported)

    def declared(tensors) -> dict[str, tuple[int, list[int]]]:
        return {
            name: (tensor.dtype, [dim.size for dim in tensor.tensor_shape.dim])
            for name, tensor in tensors.items()
        }

    answer = {
        "probabilities": (tf.float32.as_datatype_enum, [-1, 3]),
        "class_id": (tf.int64.as_datatype_enum, [-1]),
        "class_name": (tf.string.as_datatype_enum, [-1]),
        "classes": (tf.string.as_datatype_enum, [-1, 3]),
        "confidence": (tf.float32.as_datatype_enum, [-1]),
        "known": (tf.bool.as_datatype_enum, [-1]),
    }
    strings = (tf.string.as_datatype_enum, [-1])
    per_class = {
        "classes": (tf.string.as_datatype_enum, [-1, 3]),
        "scores": (tf.float32.as_datatype_enum, [-1, 3]),
    }
    found = {
        name: (declared(signature.inputs), declared(signature.outputs))
        for name, signature in meta.signature_def.items()
        if not name.startswith("__")
    }
    assert found == {
        "serving_default": ({"examples": strings}, answer),
        "serve_images": ({"image_bytes": strings}, answer),
        "classify": ({"inputs": strings}, per_class),
        "transform_features": (
            {"examples": strings},
            {
                "pixels": (tf.float32.as_datatype_enum, [-1, 16, 16, 3]),
                "label": (tf.int64.as_datatype_enum, [-1]),
            },
        ),
    }
    methods = {name: signature.method_name for name, signature in meta.signature_def.items()}
    assert methods.pop("classify") == "tensorflow/serving/classify"
    assert "tensorflow/serving/classify" not in methods.values()


# --- Served ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rest_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def stub(
    exported: str, rest_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[prediction_service_pb2_grpc.PredictionServiceStub]:
    """TensorFlow's own stub, on a server that checks for which RPC a signature is made."""
    base_path = tmp_path_factory.mktemp("signs")
    (base_path / "1").symlink_to(exported)
    flags = [f"--rest_api_port={rest_port}", "--enable_signature_method_name_check"]
    with (
        ServerProcess(base_path, flags=flags) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def probabilities(stub, pictures) -> np.ndarray:
    """What serve_images answers, which the scores of every way to classify must equal."""
    images = tf.make_tensor_proto([png(picture) for picture in pictures])
    request = predict_pb2.PredictRequest(inputs={"image_bytes": images})
    request.model_spec.name, request.model_spec.signature_name = "signs", "serve_images"
    return tf.make_ndarray(stub.Predict(request, timeout=60).outputs["probabilities"])


def test_the_classify_rpc_names_every_class(stub, pictures, probabilities):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "signs", "classify"
    for picture in pictures:
        request.input.example_list.examples.append(
            tf.train.Example.FromString(example(png(picture)))
        )
    rows = stub.Classify(request, timeout=60).result.classifications
    assert [[told.label for told in row.classes] for row in rows] == [CLASSES] * len(pictures)
    scores = np.array([[told.score for told in row.classes] for row in rows], np.float32)
    np.testing.assert_array_equal(scores, probabilities)


def test_predict_runs_the_classify_signature_too(stub, pictures, probabilities):
    examples = tf.make_tensor_proto([example(png(picture)) for picture in pictures])
    request = predict_pb2.PredictRequest(inputs={"inputs": examples})
    request.model_spec.name, request.model_spec.signature_name = "signs", "classify"
    outputs = stub.Predict(request, timeout=60).outputs
    np.testing.assert_array_equal(tf.make_ndarray(outputs["scores"]), probabilities)
    names = [[name.decode() for name in row] for row in tf.make_ndarray(outputs["classes"])]
    assert names == [CLASSES] * len(pictures)


def test_how_sure_an_answer_is_over_rest(stub, rest_port, pictures, logits):
    """Row by row and by columns: every output has a row for each image."""
    images = [{"b64": base64.b64encode(png(picture)).decode()} for picture in pictures]
    url = f"http://127.0.0.1:{rest_port}/v1/models/signs:predict"

    def ask(**body: object) -> Any:
        request = json.dumps({"signature_name": "serve_images", **body}).encode()
        with urllib.request.urlopen(url, request, timeout=60) as response:
            return json.load(response)

    rows = ask(instances=[{"image_bytes": image} for image in images])["predictions"]
    columns = ask(inputs={"image_bytes": images})["outputs"]
    known = [False] * 2 + [True] * 3
    for answers in ([row["known"] for row in rows], columns["known"]):
        assert [answers[index] for index in logits.max(axis=1).argsort()] == known
    assert [row["confidence"] for row in rows] == columns["confidence"]
    assert [row["classes"] for row in rows] == columns["classes"] == [CLASSES] * len(pictures)


def test_classify_over_rest(stub, rest_port, pictures, probabilities):
    images = [{"image": {"b64": base64.b64encode(png(p)).decode()}} for p in pictures]
    body = json.dumps({"signature_name": "classify", "examples": images}).encode()
    url = f"http://127.0.0.1:{rest_port}/v1/models/signs:classify"
    with urllib.request.urlopen(url, body, timeout=60) as response:
        rows = json.load(response)["results"]
    assert [[name for name, _ in row] for row in rows] == [CLASSES] * len(pictures)
    scores = np.array([[score for _, score in row] for row in rows], np.float32)
    np.testing.assert_array_equal(scores, probabilities)
