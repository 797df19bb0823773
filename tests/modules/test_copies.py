"""What is exported beside the float32 copy, and that all of it serves without this project."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from model_server import ServerProcess
from modules.calibration import Calibration
from modules.copies import (
    TRAINED_MODEL,
    WARM_UP_REQUESTS,
    NetworkSizeError,
    check_size,
    copy_in,
    export_copies,
)
from modules.exported import class_names_of
from modules.network import build_resnet
from signs import protos, records, tensors
from signs.client import Client
from tests.modules.examples import noise, png

CLASSES = ["a", "b", "c"]

# As tests/modules/network/test_saving.py has it: neither the checkout nor Keras is there.
ELSEWHERE = """
import gc, importlib.util, sys
gc.disable()  # which takes a third of TensorFlow's import
sys.path.append(sys.argv[1])
assert not any(importlib.util.find_spec(name) for name in ("modules", "signs", "data"))
import numpy as np, tensorflow as tf
pictures = np.array(list(np.load("pictures.npy", allow_pickle=True)), object)
answers = {}
for folder in sys.argv[2:]:
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        signature = meta.signature_def["serve_images"]
        names = {name: info.name for name, info in signature.outputs.items()}
        found = session.run(names, {signature.inputs["image_bytes"].name: pictures})
        answers[folder] = found["probabilities"]
        assert not [op for op in session.graph.get_operations() if op.type.startswith("VarHandle")]
np.savez("answers.npz", **answers)
"""


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_resnet((16, 16, 3), 3, blocks=(1,), width=4)


@pytest.fixture(scope="module")
def exported(network, transform_graph, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "Format-Serving"
    transform = tft.TFTransformOutput(str(transform_graph))
    export_copies(network, transform, CLASSES, Calibration(2, 0), folder)
    return folder


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return [png(picture) for picture in noise(5)]


@pytest.fixture(scope="module")
def expected(network) -> np.ndarray:
    return network.predict(np.stack(noise(5)).astype(np.float32) / 255, verbose=0)


def test_what_lies_where(exported: Path) -> None:
    assert sorted(path.name for path in exported.parent.iterdir()) == [
        "Format-Serving",
        "Format-Serving-bfloat16",
    ]
    assert sorted(path.name for path in (exported / "assets.extra").iterdir()) == [
        "tf_serving_warmup_requests",
        "trained.keras",
    ]
    assert not (copy_in(exported) / "assets.extra").exists()
    assert class_names_of(exported) == class_names_of(copy_in(exported)) == tuple(CLASSES)


def test_a_network_that_would_not_fit_is_refused_before_it_is_trained() -> None:
    check_size(500_000_000)
    with pytest.raises(NetworkSizeError) as caught:
        check_size(600_000_000)
    assert str(caught.value) == (
        "train.blocks and train.width must make a network of at most 532,676,608 parameters, since "
        "what is served holds them in one file of 2 GiB at most. Received: 600,000,000"
    )


def test_the_trained_network_is_kept(exported: Path, network: keras.Model) -> None:
    kept = keras.models.load_model(exported / TRAINED_MODEL)
    assert [weight.path for weight in kept.weights] == [weight.path for weight in network.weights]
    for one, other in zip(kept.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_both_copies_answer_in_a_session_without_this_project(
    exported: Path, pictures: list[bytes], expected: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "pictures.npy", np.array(pictures, object), allow_pickle=True)
    folders = [str(copy_in(exported, precision)) for precision in ("float32", "bfloat16")]
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", ELSEWHERE, sysconfig.get_path("purelib"), *folders],
        check=True,
        cwd=tmp_path,
        timeout=120,
    )
    with np.load(tmp_path / "answers.npz") as answers:
        np.testing.assert_allclose(answers[folders[0]], expected, atol=1e-5)
        np.testing.assert_allclose(answers[folders[1]], expected, atol=0.02)
        assert np.abs(answers[folders[1]] - expected).max() > 1e-6


def test_warm_up_requests_ask_for_batches_of_one_grey_picture(exported: Path) -> None:
    asked = []
    for record in records.read_records(exported / WARM_UP_REQUESTS):
        request = protos.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.signature_name == "serve_images"
        images = tensors.decode(request.inputs["image_bytes"])
        [picture] = set(images.tolist())
        pixels = tf.io.decode_image(picture).numpy()
        assert pixels.shape == (16, 16, 3)
        assert np.unique(pixels).tolist() == [128]
        asked.append(len(images))
    assert asked == [1, 2, 4, 8, 16, 32]


def test_the_server_plays_them(
    exported: Path, pictures: list[bytes], expected: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "signs").mkdir()
    (tmp_path / "signs" / "1").symlink_to(exported)
    with (
        ServerProcess(tmp_path / "signs") as server,
        Client(server.address, model_name="signs") as client,
    ):
        answers = client.predict(pictures)
        log = server.log()
    served = np.array([answer.probabilities for answer in answers])
    np.testing.assert_allclose(served, expected, atol=1e-5)
    assert "Number of warmup records read: 6." in log
