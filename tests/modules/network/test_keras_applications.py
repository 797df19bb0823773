"""A witness: with the same weights, Keras's own ResNet50 gives the same answers.

Keras's differs at two places, and both are set alike here:
- its first pool pads the map by one pixel (`pool1_pad`), and the course's does not;
- the epsilon of its batch norms is 1.001e-5, and Keras's default, the course's, is 1e-3.

Biases, strides, paddings of the convolutions, and the order of everything are the same in both.
"""

import keras
import numpy as np
import pytest

from modules.network import ResNet50

_EPSILON = 1.001e-5
_ROLES = {"1": "branch2a", "2": "branch2b", "3": "branch2c", "0": "branch1"}


def name_of_ours(name: str) -> str:
    """The name of our layer with the weights of that layer of Keras's.

    conv1_conv -> conv1, conv4_block2_3_bn -> bn4b_branch2c, predictions -> fc6
    """
    if not name.startswith("conv"):
        return "fc6"
    *place, kind = name.removeprefix("conv").split("_")
    if place == ["1"]:
        return {"conv": "conv1", "bn": "bn_conv1"}[kind]
    stage, block, role = place
    letter = "abcdef"[int(block.removeprefix("block")) - 1]
    return f"{'res' if kind == 'conv' else 'bn'}{stage}{letter}_{_ROLES[role]}"


def patches(side: int, count: int) -> np.ndarray:
    """Pictures of 4x4 patches: in noise of single pixels one picture is like the other."""
    drawn = np.random.default_rng(count).uniform(size=(count, 4, 4, 3)).astype(np.float32)
    return drawn.repeat(side // 4, axis=1).repeat(side // 4, axis=2)


@pytest.fixture(scope="module")
def theirs() -> keras.Model:
    """Keras's for images of any size, with weights and statistics of which none is trivial."""
    keras.utils.set_random_seed(0)
    trunk = keras.applications.ResNet50(
        weights=None, include_top=False, pooling="avg", input_shape=(None, None, 3)
    )
    head = keras.layers.Dense(6, activation="softmax", name="predictions")
    model = keras.Model(trunk.input, head(trunk.output))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.epsilon == _EPSILON
            layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(rng.normal(0, 0.2, layer.beta.shape))
            layer.momentum = 0.0
        elif layer.weights:
            layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
    model(patches(64, count=8), training=True)  # the statistics are those of these pictures now
    return model


def without_padding_of_the_pool(model: keras.Model) -> keras.Model:
    """The same network over the same weights, whose first pool sees the map as it is."""

    def call(layer, *args, **kwargs):
        return args[0] if layer.name == "pool1_pad" else layer(*args, **kwargs)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def ours_with_weights_of(theirs: keras.Model, side: int) -> keras.Model:
    model = ResNet50((side, side, 3), 6)
    named = {name_of_ours(layer.name): layer for layer in theirs.layers if layer.weights}
    assert named.keys() == {layer.name for layer in model.layers if layer.weights}
    for name, layer in named.items():
        model.get_layer(name).set_weights(layer.get_weights())
    set_epsilon(model, _EPSILON)
    return model


def set_epsilon(model: keras.Model, epsilon: float) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = epsilon


@pytest.mark.parametrize("side", [64, 224])
def test_the_answers_are_those_of_keras_applications(theirs, side):
    model = ours_with_weights_of(theirs, side)
    pixels = patches(side, count=3)
    expected = without_padding_of_the_pool(theirs)(pixels).numpy()
    np.testing.assert_allclose(model(pixels).numpy(), expected, atol=1e-5)
    # They could have disagreed: each picture has its answer, and each difference matters.
    assert np.abs(expected[1:] - expected[:1]).max(axis=1).min() > 0.01
    assert np.abs(theirs(pixels).numpy() - expected).max() > 1e-3
    set_epsilon(model, 1e-3)
    assert np.abs(model(pixels).numpy() - expected).max() > 1e-3


def test_the_course_s_pool_does_not_pad(theirs):
    assert theirs.get_layer("pool1_pad").padding == ((1, 1), (1, 1))
    for side, without, padded in ((64, 15, 16), (224, 55, 56)):
        shape = ResNet50((side, side, 3)).get_layer("pool1").output.shape
        assert shape == (None, without, without, 64)
        pool = keras.Model(theirs.input, theirs.get_layer("pool1_pool").output)
        assert pool.compute_output_shape((None, side, side, 3)) == (None, padded, padded, 64)
