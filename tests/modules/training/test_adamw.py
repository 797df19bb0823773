"""The fused optimizer against Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from modules.training.adamw import FusedAdamW


def schedule() -> keras.optimizers.schedules.LearningRateSchedule:
    return keras.optimizers.schedules.CosineDecay(0.001, 10, warmup_target=0.1, warmup_steps=3)


def stock(decay: float) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.AdamW(schedule(), weight_decay=decay)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def trained(optimizer: keras.optimizers.Optimizer, steps: int = 6) -> list[np.ndarray]:
    """The weights of a small network, then the moments, after some steps in graph mode."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((5,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    model.layers[0].bias.assign([1.0, -1.0, 2.0, 0.5])  # a bias to decay, if it were decayed
    model.compile(optimizer, "mse")
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(steps * 8, 5)), rng.normal(size=(steps * 8, 3))
    model.fit(inputs, targets, batch_size=8, shuffle=False, verbose=0)
    return [np.array(one) for one in [*model.weights, *optimizer.variables[-8:]]]


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_steps_are_those_of_keras(decay):
    expected, found = trained(stock(decay)), trained(FusedAdamW(schedule(), decay))
    assert len(found) == 4 + 8
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_decay_shrinks_kernels_alone():
    plain, decayed = trained(FusedAdamW(0.01, 0.0), 1)[:4], trained(FusedAdamW(0.01, 1.0), 1)[:4]
    for one, other in zip(plain, decayed, strict=True):
        assert np.array_equal(one, other) is (one.ndim == 1)


def test_the_powers_are_taken_once_a_step_for_all_weights():
    weights = [keras.Variable(np.ones((2, 2), np.float32)) for _ in range(5)]
    optimizer = FusedAdamW(0.01, 0.1)
    optimizer.build(weights)
    step = tf.function(lambda: optimizer.apply([tf.ones((2, 2))] * 5, weights))
    kinds = [op.type for op in step.get_concrete_function().graph.get_operations()]
    assert (kinds.count("ResourceApplyAdam"), kinds.count("Pow")) == (5, 2)


def test_its_configuration_makes_another():
    optimizer = FusedAdamW(schedule(), 0.02)
    other = FusedAdamW.from_config(optimizer.get_config())
    assert other.kernel_decay == 0.02
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(other.learning_rate),
        keras.ops.convert_to_numpy(optimizer.learning_rate),
    )


def test_loss_scaling_wraps_it():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, dtype="float32")])
    finally:
        keras.config.set_dtype_policy(policy)
    optimizer = keras.optimizers.LossScaleOptimizer(FusedAdamW(0.01, 0.1))
    model.compile(optimizer, "mse")
    before = model.get_weights()
    model.fit(np.ones((8, 5)), np.ones((8, 3)), verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert not np.array_equal(model.get_weights()[0], before[0])
    assert int(tf.convert_to_tensor(optimizer.inner_optimizer.iterations)) == 1
