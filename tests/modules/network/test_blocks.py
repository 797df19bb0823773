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


@pytest.mark.parametrize("filters", [(2, 4), (2, 2, 4, 4), (2, 0, 4), (2, 2.0, 4), 4])
@pytest.mark.parametrize("block", [identity_block, convolutional_block])
def test_a_block_needs_three_filters(block, filters):
    with pytest.raises(ValueError) as caught:
        block(keras.layers.Input((8, 8, 4)), 3, filters, 2, "a")
    assert str(caught.value) == (
        "`filters` must be the channels of three convolutions, whole numbers from 1. "
        f"Received: {filters}"
    )


@pytest.mark.parametrize("shape", [(4,), (8, 4), (8, 8, None), (8, 8, 8, 4)])
@pytest.mark.parametrize("block", [identity_block, convolutional_block])
def test_a_block_needs_a_map(block, shape):
    with pytest.raises(ValueError) as caught:
        block(keras.layers.Input(shape), 3, (2, 2, 4), 2, "a")
    assert str(caught.value) == (
        "`X` must be a map [batch, height, width, channels] of a known number of channels. "
        f"Received: {(None, *shape)}"
    )


@pytest.mark.parametrize("value", [0, -1, 1.5, True, (1, 1)])
def test_windows_and_strides_are_whole_numbers(value):
    x = keras.layers.Input((8, 8, 4))
    for name in ("f", "s"):
        with pytest.raises(ValueError) as caught:
            convolutional_block(
                x, filters=(2, 2, 4), stage=2, block="a", **{"f": 3, "s": 1, name: value}
            )
        assert str(caught.value) == f"`{name}` must be a whole number from 1. Received: {value}"


def test_two_blocks_of_one_name_are_no_model():
    x = keras.layers.Input((8, 8, 4))
    y = identity_block(identity_block(x, 3, (2, 2, 4), 2, "b"), 3, (2, 2, 4), 2, "b")
    with pytest.raises(ValueError, match=r'"res2b_\w+" is used 2 times in the model'):
        keras.Model(x, y)


def test_a_block_takes_maps_of_any_size():
    x = keras.layers.Input((None, None, 4))
    assert identity_block(x, 3, (2, 2, 4), 2, "b").shape == (None, None, None, 4)
    assert convolutional_block(x, 3, (2, 2, 8), 2, "a").shape == (None, None, None, 8)


@pytest.mark.parametrize(("stride", "side"), [(1, 9), (2, 5), (3, 3)])
def test_a_convolutional_block_strides(stride, side):
    out = convolutional_block(keras.layers.Input((9, 9, 4)), 3, (2, 2, 8), 2, "a", s=stride)
    assert out.shape == (None, side, side, 8)


@pytest.mark.parametrize(("zero", "same"), [(True, True), (False, False)])
def test_a_last_gamma_of_zero_makes_a_block_the_identity(zero, same):
    keras.utils.set_random_seed(0)  # by chance, no signal may come through the branch
    inputs = keras.layers.Input((8, 8, 4))
    model = keras.Model(inputs, identity_block(inputs, 3, (4, 4, 4), 2, "b", zero_last_gamma=zero))
    x = np.random.default_rng(0).uniform(size=(2, 8, 8, 4)).astype(np.float32)
    assert np.array_equal(model(x), x) is same
