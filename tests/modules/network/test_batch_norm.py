"""The fused layer against Keras's own: one is as good as the other, but for the time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from modules.network.batch_norm import FusedBatchNormalization


def layers(**options) -> list[keras.layers.BatchNormalization]:
    """Keras's layer and ours, with the same weights, none of them trivial."""
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.5, 2, 5).astype(np.float32) for _ in range(4)]
    found = []
    for kind in (keras.layers.BatchNormalization, FusedBatchNormalization):
        layer = kind(momentum=0.9, **options)
        layer.build((None, None, None, 5))
        layer.set_weights(weights)
        found.append(layer)
    return found


def maps(count: int = 3, side: int = 4) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).normal(2, 3, (count, side, side, 5)), tf.float32)


@pytest.mark.parametrize(("count", "side"), [(3, 4), (2, 1), (1, 1)])
def test_a_training_step_is_the_same(count, side):
    results = []
    for layer in layers():
        inputs = maps(count, side)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(outputs**3)
        gradients = tape.gradient(loss, [inputs, *(v.value for v in layer.trainable_variables)])
        results.append([outputs, *gradients, *layer.get_weights()])
    assert len(results[0]) == 1 + 3 + 4
    for expected, found in zip(*results, strict=True):
        scale = np.abs(expected).max() + 1e-6
        np.testing.assert_allclose(found, expected, atol=2e-4 * scale)


def test_inference_is_the_same():
    expected, found = (layer(maps(), training=False) for layer in layers())
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_frozen_layer_keeps_its_statistics():
    expected, found = layers()
    expected.trainable = found.trainable = False
    before = found.get_weights()
    np.testing.assert_allclose(
        found(maps(), training=True), expected(maps(), training=True), atol=1e-6
    )
    for one, other in zip(found.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_low_precision_keeps_float32_statistics(policy):
    expected, found = layers(dtype=policy)
    expected_outputs, outputs = (layer(maps(), training=True) for layer in (expected, found))
    assert outputs.dtype == expected_outputs.dtype != tf.float32
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float32), tf.cast(expected_outputs, tf.float32), atol=0.1
    )
    for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=0.02)


def test_a_layer_over_another_shares_its_weights():
    layer = keras.layers.BatchNormalization(momentum=0.8, epsilon=0.1, dtype="mixed_bfloat16")
    layer.build((None, None, None, 5))
    fused = FusedBatchNormalization.over(layer)
    assert fused.get_config() == layer.get_config()
    for kind in ("trainable_variables", "non_trainable_variables"):
        ours, theirs = getattr(fused, kind), getattr(layer, kind)
        assert [id(variable) for variable in ours] == [id(variable) for variable in theirs]
        assert len(ours) == 2
    fused(maps(), training=True)
    assert layer.moving_mean.numpy().any()
