"""Averages and statistics with literal values, and a network that is afterwards what it was."""

import keras
import numpy as np
import pytest

from benchmarks.weight_variants import Averaged, recalibrated


def network() -> keras.Model:
    image = keras.Input((1, 1, 3))
    return keras.Model(image, keras.layers.BatchNormalization(momentum=0.9)(image))


def test_the_average_follows_the_steps():
    model = network()
    gamma = model.layers[1].gamma
    averaged = Averaged(model, momentum=0.75)
    for value in (2.0, 3.0):
        gamma.assign([value] * 3)
        averaged.on_train_batch_end(0)
    with averaged.in_place():
        # 1 at first; then 0.75 * 1 + 0.25 * 2 = 1.25, and 0.75 * 1.25 + 0.25 * 3.
        np.testing.assert_allclose(gamma.numpy(), [1.6875] * 3)
    np.testing.assert_allclose(gamma.numpy(), [3.0] * 3)


def test_statistics_are_the_mean_of_the_batches():
    model = network()
    norm = model.layers[1]
    pixels = np.random.default_rng(0).random((64, 1, 1, 3), np.float32)
    with recalibrated(model, pixels):
        np.testing.assert_allclose(norm.moving_mean, pixels.mean(axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_array_equal(norm.moving_mean, [0, 0, 0])
    np.testing.assert_array_equal(norm.moving_variance, [1, 1, 1])
    assert norm.momentum == 0.9


def test_an_error_leaves_the_weights_as_they_were():
    model = network()
    with pytest.raises(ZeroDivisionError), recalibrated(model, np.ones((4, 1, 1, 3), np.float32)):
        raise ZeroDivisionError
    np.testing.assert_array_equal(model.layers[1].moving_mean, [0, 0, 0])
