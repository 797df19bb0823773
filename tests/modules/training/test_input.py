"""Each image is one grey of its own, so that a batch tells which images are in it."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from modules.machines.workers import Workers
from modules.training import input as training_input
from modules.training.drawings import Drawings
from modules.training.errors import TrainingError
from modules.training.images import Images, read_images
from modules.training.input import share_of_batch, steps_per_epoch, training_batches
from modules.training.recipe import Augmentation, Recipe
from tests.modules.dark_and_bright import quick_changes
from tests.modules.examples import example, noise, png, write_examples
from tests.modules.training.augmentation.changes import OFF

FULL_SIZE = ((1.0, 1.0),)
SIDE = 16
Batch = tuple[np.ndarray, np.ndarray]


def greys(count: int) -> Images:
    """Image i is of the grey i / 100 and of the class i % 3."""
    values = np.arange(count, dtype=np.float32)[:, None, None, None] / 100
    pixels = np.broadcast_to(values, (count, SIDE, SIDE, 3))
    batches = tf.data.Dataset.from_tensor_slices((pixels, np.arange(count) % 3)).batch(5)
    return Images.prepared(batches)


def batches(count: int = 12, **changes) -> list[Batch]:
    options = {"epochs": 2, "batch_size": 4, "augmentation": OFF, "sizes": FULL_SIZE, **changes}
    return list(
        training_batches(greys(count), count, Recipe(**options), SIDE, 3)(0).as_numpy_iterator()
    )


def seen(batch: Batch) -> list[int]:
    """Which images are in the batch."""
    return np.rint(batch[0][:, 8, 8, 0] * 100).astype(int).tolist()


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@pytest.fixture(params=["in memory", "streamed"])
def path(request, monkeypatch) -> str:
    """Runs a test for both ways that images take."""
    if request.param == "streamed":
        monkeypatch.setattr(training_input, "MEMORY_LIMIT_BYTES", 0)
    return request.param


@pytest.fixture(params=["in memory", "streamed"])
def path_with_changes(request) -> Iterator[None]:
    """As `path`; but all changes, whose graph takes seconds, are made on one of the ways alone."""
    if request.param == "in memory":
        yield
        return
    with mock.patch.object(training_input, "MEMORY_LIMIT_BYTES", 0), quick_changes():
        yield


@pytest.mark.parametrize(
    ("count", "batch_size", "steps"), [(12, 4, 3), (13, 4, 3), (15, 4, 3), (4, 4, 1), (3, 4, 1)]
)
def test_steps_are_whole_batches(count, batch_size, steps):
    assert steps_per_epoch(count, Recipe(batch_size=batch_size)) == steps


def test_batches_have_shapes_and_number(path):
    found = batches(14, epochs=3)
    assert len(found) == 9
    for pixels, labels in found:
        assert (pixels.shape, pixels.dtype) == ((4, SIDE, SIDE, 3), np.float32)
        assert (labels.shape, labels.dtype) == ((4, 3), np.float32)


def test_images_are_kept_and_brought_to_a_gpu_as_uint8(path):
    recipe = Recipe(epochs=2, batch_size=4, augmentation=OFF, sizes=FULL_SIZE)
    all_batches = training_batches(greys(13), 13, recipe, SIDE, 3)
    chosen = list(all_batches.chosen(1).as_numpy_iterator())
    assert [step.tolist() for _, _, step in chosen] == [[3] * 4, [4] * 4, [5] * 4]
    for (images, labels, _), finished in zip(chosen, all_batches(1), strict=True):
        assert (images.shape, images.dtype) == ((4, SIDE, SIDE, 4), np.uint8)
        assert (images[..., 3] == 255).all()  # nothing stands before a wall
        np.testing.assert_allclose(finished[0], images[..., :3] / 255, atol=1e-3)
        assert finished[1].numpy().argmax(axis=1).tolist() == labels.tolist()
        # Rounded to the nearest: 0.01 is 2.55 of 255.
        greys_in = np.rint(images[:, 0, 0, 0] / 2.55)
        np.testing.assert_array_equal(images[:, 0, 0, 0], np.rint(greys_in * 2.55))


def test_drawings_come_beside_the_images_and_no_sign_has_no_right_answer():
    drawn = Drawings(np.full((1, SIDE, SIDE, 4), 255, np.uint8), np.array([3]), 2)
    recipe = Recipe(epochs=2, batch_size=4, augmentation=OFF, sizes=FULL_SIZE)
    found = list(training_batches(greys(12), 12, recipe, SIDE, 3, drawn=drawn)(0))
    assert len(found) == 6
    for images, answers in found:
        is_drawn = images[:, 0, 0, 0].numpy() > 0.99
        assert is_drawn.tolist() == [False, True, False, False, True, False]
        np.testing.assert_allclose(answers[is_drawn], 1 / 3)
        assert (answers.numpy()[~is_drawn].max(-1) == 1).all()


def test_changes_grow_at_first_and_calm_down_in_the_end():
    recipe = Recipe(
        epochs=40,
        batch_size=4,
        sizes=FULL_SIZE,
        augmentation=replace(OFF, strength=0.5, brightness=0.9, ramp=0.25, calm=0.5),
    )
    same = np.full((4, SIDE, SIDE, 3), 0.4, np.float32), np.zeros(4, int)
    flat = Images.prepared(tf.data.Dataset.from_tensors(same))
    change = np.array(
        [
            np.abs(images[:, 0, 0, 0] / 0.4 - 1).max()
            for images, _ in training_batches(flat, 4, recipe, SIDE, 3)(0).as_numpy_iterator()
        ]
    )
    assert change[0] < 0.01  # nothing at first
    assert change[:5].max() < 0.9 * 0.5 * 0.5 + 0.01  # a half after five of forty
    assert 0.3 < change[10:30].max() < 0.9 * 0.5 + 0.01  # all of it from ten on
    assert change[35:].max() < 0.9 * 0.5 * 0.75 + 0.01  # three quarters before the last five
    assert change[35:].max() > 0.1


def test_without_changes_their_graph_is_not_built(monkeypatch):
    seen = []
    augment = training_input.augment

    def noted(images, config, *, strength, **rest):
        seen.append(strength)
        return augment(images, config, strength=strength, **rest)

    monkeypatch.setattr(training_input, "augment", noted)
    assert len(batches(augmentation=Augmentation(strength=0.0))) == 6
    assert seen
    assert all(isinstance(strength, float) and strength == 0 for strength in seen)


def test_the_order_is_drawn_once_an_epoch(monkeypatch):
    drawn = []
    shuffle = tf.random.experimental.stateless_shuffle

    def counted(value: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.py_function(drawn.append, [seed[1]], [])]):
            return shuffle(value, seed=seed)

    monkeypatch.setattr(tf.random.experimental, "stateless_shuffle", counted)
    assert len(batches(14, epochs=3)) == 9
    assert [int(epoch) for epoch in drawn] == [0, 1, 2]


def test_labels_stay_with_their_images(path):
    for batch in batches():
        assert batch[1].tolist() == np.eye(3)[np.array(seen(batch)) % 3].tolist()


def test_every_image_is_seen_once_an_epoch(path):
    found = [seen(batch) for batch in batches(12, epochs=3)]
    for epoch in range(3):
        assert sorted(chain(*found[3 * epoch : 3 * epoch + 3])) == list(range(12))


def test_epochs_differ_in_their_order(path):
    found = [seen(batch) for batch in batches(12)]
    assert found[:3] != found[3:]
    assert list(chain(*found[:3])) != list(range(12))


def test_the_order_is_the_recipes_whatever_the_seed_of_the_process(path):
    """A training sets its own, by default 0, which `Dataset.shuffle` takes for none."""
    tf.random.set_seed(2)
    expected = batches(seed=0)
    for of_the_process in (0, 1):
        tf.random.set_seed(of_the_process)
        drawn = tf.random.uniform([4])
        tf.random.set_seed(of_the_process)
        assert_same(batches(seed=0), expected)
        assert np.array_equal(tf.random.uniform([4]), drawn)  # and leaves it as it is


def test_images_left_over_differ_from_epoch_to_epoch():
    found = [seen(batch) for batch in batches(14, epochs=6)]
    left_over = {
        frozenset(range(14)) - set(chain(*found[3 * epoch : 3 * epoch + 3])) for epoch in range(6)
    }
    assert all(len(images) == 2 for images in left_over)
    assert len(left_over) > 1


def test_a_batch_is_a_function_of_seed_and_step(path_with_changes):
    options = {"augmentation": Augmentation(), "sizes": ((0.5, 0.5), (0.5, 1.0))}
    first = batches(seed=1, **options)
    assert_same(batches(seed=1, **options), first)
    for one, other in zip(batches(seed=2, **options), first, strict=True):
        assert np.abs(one[0] - other[0]).max() > 1e-3


def test_a_training_can_be_taken_up_at_any_epoch(path_with_changes):
    recipe = Recipe(epochs=3, batch_size=4, sizes=((0.7, 0.5), (0.3, 1.0)))
    from_epoch = training_batches(greys(13), 13, recipe, SIDE, 3)
    whole = list(from_epoch(0).as_numpy_iterator())
    assert len(whole) == 9
    for epoch in (1, 2):
        assert_same(list(from_epoch(epoch).as_numpy_iterator()), whole[3 * epoch :])


def test_an_image_is_changed_anew_in_each_epoch():
    one = np.stack(noise(1)).astype(np.float32) / 255, np.zeros(1, int)
    pixels = Images.prepared(tf.data.Dataset.from_tensors(one))
    recipe = Recipe(epochs=4, batch_size=1, sizes=FULL_SIZE)
    found = [
        batch[0] for batch in training_batches(pixels, 1, recipe, SIDE, 3)(0).as_numpy_iterator()
    ]
    for i in range(4):
        for j in range(i):
            assert np.abs(found[i] - found[j]).max() > 0.01


def test_epochs_have_their_sizes(path):
    found = batches(12, epochs=4, sizes=((0.5, 0.5), (0.5, 1.0)))
    assert [batch[0].shape[1:3] for batch in found] == [(8, 8)] * 6 + [(16, 16)] * 6


def test_fewer_images_than_a_batch_are_one_batch():
    found = batches(3, batch_size=32)
    assert [sorted(seen(batch)) for batch in found] == [[0, 1, 2], [0, 1, 2]]


def test_fewer_images_than_a_batch_are_one_batch_when_streamed(monkeypatch):
    monkeypatch.setattr(training_input, "MEMORY_LIMIT_BYTES", 0)
    test_fewer_images_than_a_batch_are_one_batch()


def test_the_shape_is_declared_open_in_its_size_alone(path):
    recipe = Recipe(epochs=1, batch_size=4, augmentation=OFF)
    dataset = training_batches(greys(12), 12, recipe, SIDE, 3)(0)
    pixels, labels = dataset.element_spec
    assert pixels.shape.as_list() == [4, None, None, 3]
    assert labels.shape.as_list() == [4, 3]


@pytest.mark.parametrize("count", [13])  # one is left over, in every epoch another
def test_workers_have_the_parts_of_the_batches_of_one(count, path_with_changes):
    recipe = Recipe(epochs=2, batch_size=2, sizes=((0.5, 0.5), (0.5, 1.0)))
    whole = Recipe(epochs=2, batch_size=6, sizes=((0.5, 0.5), (0.5, 1.0)))
    addresses = ("one:1", "two:1", "three:1")
    parts = [
        list(training_batches(greys(count), count, recipe, SIDE, 3, workers)(0).as_numpy_iterator())
        for workers in (Workers(addresses, index) for index in range(3))
    ]
    assert steps_per_epoch(count, recipe, Workers(addresses)) == 2
    together = [
        tuple(map(np.concatenate, zip(*step, strict=True))) for step in zip(*parts, strict=True)
    ]
    expected = list(training_batches(greys(count), count, whole, SIDE, 3)(0).as_numpy_iterator())
    assert len(expected) == 4
    assert_same(together, expected)


@pytest.mark.parametrize(("images", "share"), [(100, 32), (63, 31), (2, 1)])
def test_workers_share_what_there_is(images, share):
    assert share_of_batch(images, Recipe(batch_size=32), Workers(("one:1", "two:1"))) == share


def test_fewer_images_than_workers_are_an_error():
    with pytest.raises(TrainingError) as caught:
        share_of_batch(1, Recipe(), Workers(("one:1", "two:1")))
    assert str(caught.value) == "there are fewer images (1) than workers (2)"


def read(transform_graph, *patterns: str) -> Batch:
    output = tft.TFTransformOutput(str(transform_graph))
    spec = output.raw_feature_spec()
    dataset = read_images(patterns, output.transform_features_layer(), spec, 5).batches()
    pixels, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(pixels), np.concatenate(labels)


def test_files_are_read_in_the_order_of_their_names(transform_graph, tmp_path):
    pictures = noise(5)
    examples = [example(png(picture), label) for label, picture in enumerate(pictures)]
    write_examples(tmp_path / "Split-train" / "b.gz", examples[2:4])
    write_examples(tmp_path / "Split-train" / "a.gz", examples[:2])
    write_examples(tmp_path / "Split-eval" / "a.gz", examples[4:])
    pixels, labels = read(transform_graph, f"{tmp_path}/Split-train/*", f"{tmp_path}/Split-eval/*")
    # eval before train, by name
    assert labels.tolist() == [4, 0, 1, 2, 3]
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(np.rint(pixels * 255), [pictures[label] for label in labels])


def test_files_that_are_streamed_are_read_in_another_order_in_each_epoch(
    transform_graph, tmp_path, monkeypatch
):
    monkeypatch.setattr(training_input, "MEMORY_LIMIT_BYTES", 0)
    pictures = noise(12)
    for number in range(12):  # a file each: what is buffered alone would not mix them
        one = example(png(pictures[number]), number)
        write_examples(tmp_path / f"{number:02}.gz", [one])
    output = tft.TFTransformOutput(str(transform_graph))
    layer, spec = output.transform_features_layer(), output.raw_feature_spec()
    images = read_images([f"{tmp_path}/*"], layer, spec, 12)
    side = pictures[0].shape[0]
    recipe = Recipe(epochs=3, batch_size=4, seed=5)
    all_batches = training_batches(images, 12, recipe, side, 12)
    found = [labels.tolist() for _, labels, _ in all_batches.chosen(0).as_numpy_iterator()]
    epochs = [list(chain(*found[3 * epoch : 3 * epoch + 3])) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    again = [labels.tolist() for _, labels, _ in all_batches.chosen(1).as_numpy_iterator()]
    assert again == found[3:]


def test_a_seed_decides_the_order_of_files(transform_graph, tmp_path):
    for number, picture in enumerate(noise(12)):
        write_examples(tmp_path / f"{number:02}.gz", [example(png(picture), number)])
    output = tft.TFTransformOutput(str(transform_graph))
    layer, spec = output.transform_features_layer(), output.raw_feature_spec()
    images = read_images([f"{tmp_path}/*"], layer, spec, 12)

    def order(*seed: int) -> list[bytes]:
        return list(images.read(tf.constant(seed, tf.int64)).as_numpy_iterator())

    assert order(1, 0) == order(1, 0)
    assert sorted(order(1, 0)) == sorted(order(1, 1))
    assert order(1, 0) != order(1, 1)


def test_a_damaged_file_is_an_error(transform_graph, tmp_path):
    (tmp_path / "a.gz").write_bytes(b"no gzip")
    with pytest.raises(tf.errors.OpError):
        read(transform_graph, f"{tmp_path}/*")
