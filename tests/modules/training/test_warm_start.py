"""Weights go from an exported model to a network, and answers with them."""

import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from modules.calibration import Calibration
from modules.copies import TRAINED_MODEL, export_copies
from modules.network import build_resnet
from modules.signatures import ServedModel, export
from modules.training.warm_start import WarmStartError, start_from

CLASSES = ["a", "b", "c"]


def network(classes: int = 3, size: int = 16, width: int = 4, blocks=(1,), seed: int = 1):
    keras.utils.set_random_seed(seed)
    return build_resnet((size, size, 3), classes, blocks=blocks, width=width)


@pytest.fixture(scope="module")
def base() -> keras.Model:
    model = network(seed=3)
    # Every weight differs from its initial value, moving averages included.
    rng = np.random.default_rng(3)
    model.set_weights([value + rng.uniform(0, 0.3, value.shape) for value in model.get_weights()])
    return model


def export_as_before(network: keras.Model, transform: tft.TFTransformOutput, folder: Path) -> None:
    """As earlier releases did: the network's variables in the SavedModel, and nothing beside it."""
    model = ServedModel(network, transform, CLASSES, Calibration(1, 0))
    model.weights = [weight.value for weight in network.weights]
    export(model, folder)


@pytest.fixture(scope="module", params=["today", "before"])
def exported(request, base, transform_graph, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("exported") / "Format-Serving"
    transform = tft.TFTransformOutput(str(transform_graph))
    if request.param == "before":
        export_as_before(base, transform, folder)
    else:
        export_copies(base, transform, CLASSES, Calibration(1, 0), folder)
    return str(folder)


def test_all_weights_are_taken_over(base, exported):
    started = network()
    said = start_from(started, exported, CLASSES)
    assert said == f"all {len(base.weights)} weights are taken over from {exported}"
    for weight, expected in zip(started.weights, base.weights, strict=True):
        np.testing.assert_array_equal(weight, expected, err_msg=weight.path)
    pixels = np.random.default_rng(0).uniform(0, 1, (2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(started(pixels), base(pixels))


def test_images_of_another_size_are_no_hindrance(base, exported):
    started = network(size=40)
    start_from(started, exported, CLASSES)
    np.testing.assert_array_equal(started.get_weights()[0], base.get_weights()[0])


@pytest.mark.parametrize(
    ("names", "taken", "words"),
    [
        (
            ["x", "c", "a", "y", "z"],
            {1: 2, 2: 0},
            "2 of 5 classes: it does not know 'x', 'y', 'z'",
        ),
        (["x", "y", "z"], {}, "0 of 3 classes: it does not know 'x', 'y', 'z'"),
        (
            ["b", "a"],
            {0: 1, 1: 0},
            "2 of 2 classes: it knows them in another order, or more of them",
        ),
    ],
)
def test_of_the_last_layer_classes_of_the_same_name_are_taken_over(
    base, exported, names, taken, words
):
    started, fresh = network(classes=len(names)), network(classes=len(names))
    assert start_from(started, exported, names) == (
        f"all weights but the last layer's are taken over from {exported}, and of the last layer "
        f"those of {words}"
    )
    for weight, expected in zip(started.weights[:-2], base.weights[:-2], strict=True):
        np.testing.assert_array_equal(weight, expected, err_msg=weight.path)
    last = zip(started.weights[-2:], base.weights[-2:], fresh.weights[-2:], strict=True)
    for weight, known, random in last:
        for index in range(len(names)):
            expected = known[..., taken[index]] if index in taken else random[..., index]
            np.testing.assert_array_equal(weight[..., index], expected, err_msg=weight.path)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"width": 8}, "conv1/kernel has the shape (7, 7, 3, 8), and (7, 7, 3, 4) in {dir}."),
        (
            {"blocks": (2,)},
            "the network has 50 weights and {dir} has 32, so res2b_branch2a/kernel would have none "
            "to match.",
        ),
    ],
)
def test_another_architecture_is_refused(exported, other, words):
    started = network(**other)
    before = started.get_weights()
    with pytest.raises(WarmStartError, match="a warm start needs a model of the same") as caught:
        start_from(started, exported, CLASSES)
    assert words.format(dir=exported) in str(caught.value)
    assert "\n" not in str(caught.value)
    for weight, expected in zip(started.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_deeper_model_is_refused(tmp_path, transform_graph):
    deep = network(blocks=(2,))
    transform = tft.TFTransformOutput(str(transform_graph))
    export_as_before(deep, transform, tmp_path)
    with pytest.raises(WarmStartError, match=r"has 32 weights and .* has 50, so the last layers"):
        start_from(network(), str(tmp_path), CLASSES)


@pytest.mark.parametrize("junk", [None, b"", b"junk" * 100])
def test_what_is_no_model_is_named(tmp_path, junk):
    if junk is not None:
        (tmp_path / "variables").mkdir()
        (tmp_path / "variables" / "variables.index").write_bytes(junk)
    where = re.escape(str(tmp_path))
    with pytest.raises(WarmStartError, match=f"the weights in {where} cannot be read: ") as caught:
        start_from(network(), str(tmp_path), CLASSES)
    assert "\n" not in str(caught.value)


def test_damaged_weights_leave_the_network_as_it_was(tmp_path, exported):
    copy = Path(shutil.copytree(exported, tmp_path / "model"))
    trained = copy / TRAINED_MODEL
    [data] = [trained] if trained.exists() else copy.glob("variables/variables.data*")
    data.write_bytes(data.read_bytes()[:1000])
    started = network()
    before = started.get_weights()
    with pytest.raises(WarmStartError, match="cannot be read: "):
        start_from(started, str(copy), CLASSES)
    for weight, expected in zip(started.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_model_of_somebody_else_is_refused(tmp_path):
    module = tf.Module()
    module.one = tf.Variable(1.0)
    tf.saved_model.save(module, str(tmp_path))
    with pytest.raises(WarmStartError, match="holds no weights that this pipeline has exported"):
        start_from(network(), str(tmp_path), CLASSES)
