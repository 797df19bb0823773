import numpy as np
import pytest
import tensorflow as tf

from modules.machines.workers import Workers
from modules.training.augmentation import augment
from modules.training.recipe import Augmentation
from tests.modules.training.augmentation.changes import changed, noise

ALL = vars(Augmentation())


def covered(count: int = 8) -> np.ndarray:
    cover = np.zeros((count, 16, 16, 1), np.float32)
    cover[:, 4:, 4:12] = 1
    return np.concatenate([noise(count), cover], -1)


@pytest.mark.parametrize("side", [16, 17])
def test_nothing_switched_on_changes_nothing(side):
    images = noise(side=side)
    np.testing.assert_allclose(changed(images), images, atol=1e-3)


def test_no_strength_changes_nothing():
    images = noise()
    np.testing.assert_allclose(changed(images, at=0.0, **ALL), images, atol=1e-3)


@pytest.mark.parametrize("size", [8, 11, 16, 24])
def test_no_strength_as_a_number_is_what_it_is_as_a_tensor(size):
    found, expected = (changed(noise(), size, at=at, **ALL) for at in (0.0, tf.constant(0.0)))
    assert found.shape == (4, size, size, 3)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_no_strength_as_a_number_builds_no_graph_of_changes():
    @tf.function(input_signature=[tf.TensorSpec([4, 16, 16, 4])])
    def resized(images):
        return augment(
            images, Augmentation(), size=tf.constant(8), seed=tf.constant([1, 1]), strength=0.0
        )

    assert len(resized.get_concrete_function().graph.get_operations()) < 30  # of some 1,200


def test_strength_scales_every_change():
    images = np.full((64, 16, 16, 3), 0.5, np.float32)
    change = [
        np.abs(changed(images, at=strength, **ALL) - 0.5).mean()
        for strength in (0.0, 0.25, 0.5, 1.0)
    ]
    assert change == sorted(change)
    assert change[-1] > 3 * change[1]


@pytest.mark.parametrize("size", [8, 16, 24, 40])
def test_results_have_the_size_and_stay_in_range(size):
    result = changed(noise(), size, cover=0.5, **{**ALL, "rotation_degrees": 180, "scale": 3.0})
    assert result.shape == (4, size, size, 3)
    assert result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1
    assert np.isfinite(result).all()


def test_the_seed_decides():
    first = changed(noise(), seed=1, **ALL)
    np.testing.assert_array_equal(changed(noise(), seed=1, **ALL), first)
    other = changed(noise(), seed=2, **ALL)
    assert (np.abs(other - first).max(axis=(1, 2, 3)) > 0.01).all()


def test_images_of_a_batch_are_changed_differently():
    same = np.repeat(noise(1), 8, axis=0)
    result = changed(same, **ALL)
    distances = np.abs(result[:, None] - result[None]).max(axis=(2, 3, 4))
    assert (distances + np.eye(8) > 0.01).all()


def test_each_worker_changes_its_part_as_one_alone_would():
    images, config = covered(), Augmentation()
    arguments = {"size": tf.constant(16), "seed": tf.constant([3, 1])}
    alone = augment(images, config, **arguments)
    parts = [
        augment(
            images[start : start + 4], config, **arguments, workers=Workers(("a:1", "b:1"), index)
        )
        for index, start in enumerate((0, 4))
    ]
    np.testing.assert_allclose(np.concatenate(parts), alone, atol=1e-5)


def test_inside_a_dataset_it_does_what_it_does_eagerly():
    images, config = covered(), Augmentation()
    dataset = tf.data.Dataset.range(2).map(
        lambda step: augment(
            tf.constant(images),
            config,
            size=tf.constant([12, 20])[step],
            seed=tf.stack([3, tf.cast(step, tf.int32)]),
            strength=tf.constant([0.5, 1.0])[step],
        )
    )
    for step, (size, result) in enumerate(zip([12, 20], dataset.as_numpy_iterator(), strict=True)):
        eager = augment(
            images,
            config,
            size=tf.constant(size),
            seed=tf.constant([3, step]),
            strength=[0.5, 1.0][step],
        )
        np.testing.assert_allclose(result, eager, atol=1e-4)


def test_each_image_has_a_strength_of_its_own():
    flat = np.full((64, 16, 16, 3), 0.5, np.float32)

    def change(variety: float) -> np.ndarray:
        ranges = {"vignette": 0.9, "slope": 0.9, "blur": 0.0, "noise": 0.5, "variety": variety}
        return np.abs(changed(flat, **ranges) - 0.5).mean((1, 2, 3))

    assert np.percentile(change(1.0), 10) < 0.4 * np.percentile(change(0.0), 10)
    assert change(1.0).mean() < 0.8 * change(0.0).mean()
