"""A network whose batch norms are folded answers as the trained one does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from modules.network import build_resnet, logits_of


def network(seed: int = 0) -> keras.Model:
    """One whose weights are all unlike those that a network begins with, moving ones included."""
    keras.utils.set_random_seed(seed)
    model = build_resnet((32, 32, 3), 6, blocks=(2, 1), width=4)
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        low, high = (0.3, 3.0) if weight.path.endswith(("variance", "gamma")) else (-0.3, 0.3)
        weight.assign(weight + rng.uniform(low, high, weight.shape))
    return model


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    return network()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).uniform(size=(20, 32, 32, 3)).astype(np.float32)


def expected_logits(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    trunk = keras.Model(model.inputs, model.layers[-1].input)
    kernel, bias = model.layers[-1].get_weights()
    return trunk.predict(pixels, verbose=0) @ kernel + bias


def nodes(function: tf.types.experimental.GenericFunction) -> list[tf.compat.v1.NodeDef]:
    return list(function.get_concrete_function().graph.as_graph_def().node)


def test_logits_are_those_of_the_trained_network(trained, pixels):
    logits = logits_of(trained)(pixels)
    assert logits.dtype == tf.float32
    np.testing.assert_allclose(logits, expected_logits(trained, pixels), rtol=2e-5, atol=2e-5)
    probabilities = trained.predict(pixels, verbose=0)
    assert np.ptp(probabilities, axis=0).max() > 0.01  # so that the next line means something
    np.testing.assert_allclose(tf.nn.softmax(logits), probabilities, atol=1e-5)


def test_in_bfloat16_the_logits_are_near(trained, pixels):
    logits = logits_of(trained, "bfloat16")(pixels)
    assert logits.dtype == tf.float32
    expected = expected_logits(trained, pixels)
    difference = np.abs(logits - expected).max()
    assert 1e-4 < difference < 0.03 * np.abs(expected).max()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_neither_a_batch_norm_nor_a_variable_is_left(trained, precision):
    function = logits_of(trained, precision)
    operations = {node.op for node in nodes(function)}
    assert not {op for op in operations if "BatchNorm" in op or "Variable" in op or op == "Rsqrt"}
    assert not function.get_concrete_function().variables
    convolutions = [node for node in nodes(function) if node.op == "Conv2D"]
    wanted = tf.as_dtype(precision).as_datatype_enum
    assert {node.attr["T"].type for node in convolutions} == {wanted}
    assert len(convolutions) == 1 + (2 * 3 + 1) + (3 + 1)


def test_weights_are_those_of_the_moment(pixels):
    model = network(seed=1)
    logits = logits_of(model)
    before = logits(pixels).numpy()
    model.layers[-1].bias.assign_add([1000.0] * 6)
    np.testing.assert_array_equal(logits(pixels), before)


def test_a_batch_norm_that_removes_a_channel_removes_it(pixels):
    """A scale of nothing is what every block begins with."""
    keras.utils.set_random_seed(0)
    model = build_resnet((32, 32, 3), 6, blocks=(1,), width=4, zero_last_gamma=True)
    np.testing.assert_allclose(
        logits_of(model)(pixels), expected_logits(model, pixels), rtol=1e-5, atol=1e-5
    )


def test_a_layer_of_somebody_else_is_named():
    inputs = keras.layers.Input((8, 8, 3))
    x = keras.layers.PReLU(name="curious")(inputs)
    x = keras.layers.Dense(2)(keras.layers.Flatten()(x))
    with pytest.raises(ValueError, match="the layer 'curious' has weights, and cannot be folded"):
        logits_of(keras.Model(inputs, x))
