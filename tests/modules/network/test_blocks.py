"""The two blocks, each alone."""

import keras
import numpy as np
import pytest

from modules.network import convolutional_block, identity_block


def test_an_identity_block_needs_the_channels_of_its_input():
    x = keras.layers.Input((8, 8, 4))
    with pytest.raises(ValueError) as caught:
        identity_block(x, 3, (2, 2, 8), 2, "b")
    assert str(caught.value) == (
        "the last of `filters` must be the channels of `X`, since the identity is added to it. "
        "Received: filters=(2, 2, 8), X with 4 channels"
    )


@pytest.mark.parametrize("block", [identity_block, convolutional_block])
def test_a_block_needs_three_filters(block):
    with pytest.raises(ValueError) as caught:
        block(keras.layers.Input((8, 8, 4)), 3, (2, 4), 2, "a")
    assert str(caught.value) == (
        "`filters` must name the channels of three convolutions. Received: (2, 4)"
    )


@pytest.mark.parametrize(("stride", "side"), [(1, 9), (2, 5), (3, 3)])
def test_a_convolutional_block_strides(stride, side):
    out = convolutional_block(keras.layers.Input((9, 9, 4)), 3, (2, 2, 8), 2, "a", s=stride)
    assert out.shape == (None, side, side, 8)


@pytest.mark.parametrize(("zero", "same"), [(True, True), (False, False)])
def test_a_last_gamma_of_zero_makes_a_block_the_identity(zero, same):
    inputs = keras.layers.Input((8, 8, 4))
    model = keras.Model(inputs, identity_block(inputs, 3, (2, 2, 4), 2, "b", zero_last_gamma=zero))
    x = np.random.default_rng(0).uniform(size=(2, 8, 8, 4)).astype(np.float32)
    assert np.array_equal(model(x), x) is same
