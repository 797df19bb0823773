"""The real loop over a network of one block: dark images and bright ones are told apart."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from modules.recipe import Augmentation, Recipe
from modules.resnet50 import build_resnet
from modules.trainer import run_fn
from modules.training import train
from modules.training_errors import TrainingError
from modules.training_input import training_batches
from tests.modules.examples import example, png, write_examples

SIDE = 16
SMALL = {"blocks": (1,), "width": 4, "batch_size": 8, "sizes": ((1.0, 1.0),), "warmup": 0.1}
PROGRESS = {
    "epoch",
    "epochs",
    "step",
    "steps",
    "loss",
    "accuracy",
    "eval_accuracy",
    "images_per_s",
    "eta_s",
}


def pictures(count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Dark noise (class 0) and bright noise (class 1), by turns: uint8 and int64."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 100, (count, SIDE, SIDE, 3)) + 150 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels


def prepared(count: int = 32) -> tf.data.Dataset:
    pixels, labels = pictures(count)
    return tf.data.Dataset.from_tensor_slices((pixels.astype(np.float32) / 255, labels)).batch(8)


def fit(run_dir: Path, recipe: Recipe, batches=None, validation=None):
    """Trains on 32 pictures; returns the network and its history."""
    keras.utils.set_random_seed(recipe.seed)
    network = build_resnet((SIDE, SIDE, 3), 2, blocks=recipe.blocks, width=recipe.width)
    if batches is None:
        batches = training_batches(prepared(), 32, recipe, SIDE, 2)
    return network, train(network, batches, 4, recipe, run_dir, validation=validation)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    recipe = Recipe(**SMALL, epochs=8, learning_rate=0.01, augmentation=Augmentation(scale=0.1))
    run_dir = tmp_path_factory.mktemp("run")
    logger, records = logging.getLogger("modules"), []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        network, history = fit(run_dir, recipe, validation=prepared(16))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return SimpleNamespace(network=network, history=history, run_dir=run_dir, records=records)


def test_training_learns(fitted):
    loss = fitted.history["loss"]
    assert len(loss) == 8
    assert loss[-1] < loss[0] * 0.8
    assert fitted.history["val_accuracy"][-1] >= 0.9


def test_training_changes_the_network_it_was_given(fitted):
    ((pixels, labels),) = prepared().unbatch().batch(32).as_numpy_iterator()
    assert (fitted.network.predict(pixels, verbose=0).argmax(axis=1) == labels).mean() >= 0.9


def test_history_is_plain_numbers_by_epoch(fitted):
    assert set(fitted.history) == {"loss", "accuracy", "learning_rate", "val_loss", "val_accuracy"}
    assert json.loads(json.dumps(fitted.history)) == fitted.history


def test_tensorboard_has_its_logs(fitted):
    assert list((fitted.run_dir / "tensorboard").rglob("events.out.tfevents.*"))


def test_progress_is_told_at_the_end_of_each_epoch(fitted):
    told = [record.progress for record in fitted.records]
    assert all(set(one) == PROGRESS for one in told)
    ends = [one for one in told if one["step"] == 4]
    assert [one["epoch"] for one in ends] == list(range(1, 9))
    assert {(one["epochs"], one["steps"]) for one in told} == {(8, 4)}
    np.testing.assert_allclose([one["loss"] for one in ends], fitted.history["loss"], rtol=1e-5)
    assert [one["eval_accuracy"] for one in ends] == fitted.history["val_accuracy"]
    assert all(one["images_per_s"] > 0 for one in ends)
    assert ends[0]["eta_s"] > 0
    assert ends[-1]["eta_s"] == 0


def test_progress_reads_as_a_line(fitted):
    last = fitted.records[-1]
    assert last.name == "modules.training_progress"
    assert last.levelno == logging.INFO
    assert last.getMessage().startswith("epoch 8/8 step 4/4 loss 0.")


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    pixels = np.full((8, SIDE, SIDE, 3), np.nan, np.float32)
    labels = np.eye(2, dtype=np.float32)[[0, 1] * 4]
    batches = tf.data.Dataset.from_tensors((pixels, labels)).repeat(8).skip
    with pytest.raises(TrainingError) as caught:
        fit(tmp_path, Recipe(**SMALL, epochs=2), batches)
    assert str(caught.value) == (
        "the loss is nan at step 1 (epoch 1): a smaller train.learning_rate may help"
    )


def fn_args(root: Path, transform_graph: Path, recipe: Recipe, train_count: int = 24):
    """What TFX's Trainer hands over, for pictures in two splits."""
    pixels, labels = pictures(32)
    serialized = [
        example(png(picture), int(label)) for picture, label in zip(pixels, labels, strict=True)
    ]
    write_examples(root / "Split-train" / "a.gz", serialized[:train_count])
    write_examples(root / "Split-eval" / "a.gz", serialized[24:])
    folders = [root / f"Split-{split}" / "*" for split in recipe.splits]
    return SimpleNamespace(
        train_files=[str(folder) for folder in folders],
        eval_files=[str(root / "Split-eval" / "*")],
        num_examples={"train": train_count, "eval": 8},
        transform_graph_path=str(transform_graph),
        base_model=None,
        hyperparameters=None,
        serving_model_dir=str(root / "model" / "Format-Serving"),
        model_run_dir=str(root / "run"),
        custom_config={
            "recipe": json.loads(json.dumps(recipe.to_dict())),
            "class_names": ["dark", "bright"],
            "image_size": SIDE,
        },
    )


@pytest.mark.parametrize(
    ("splits", "sizes", "images", "metrics"),
    [
        (("train", "eval"), ((0.5, 0.5), (0.5, 1.0)), 32, {"loss", "accuracy", "learning_rate"}),
        (
            ("train",),
            ((1.0, 1.0),),
            24,
            {"loss", "accuracy", "learning_rate", "val_loss", "val_accuracy"},
        ),
    ],
)
def test_run_fn_trains_and_exports(
    tmp_path, transform_graph, caplog, splits, sizes, images, metrics
):
    recipe = Recipe(**{**SMALL, "sizes": sizes}, epochs=2, learning_rate=0.01, splits=splits)
    with caplog.at_level(logging.INFO, "modules"):
        run_fn(fn_args(tmp_path, transform_graph, recipe))

    # Without images to validate on there is no such accuracy.
    told = [record.progress for record in caplog.records if hasattr(record, "progress")]
    assert (told[-1]["eval_accuracy"] is None) is ("val_accuracy" not in metrics)
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert history["images"] == images
    assert history["fit_s"] > 0
    assert set(history["by_epoch"]) == metrics
    assert all(len(values) == 2 for values in history["by_epoch"].values())

    # What is served is what was trained.
    pixels, _ = pictures(4)
    trained = keras.models.load_model(tmp_path / "run" / "trained.keras")
    served = tf.saved_model.load(str(tmp_path / "model" / "Format-Serving"))
    answer = served.signatures["serve_images"](
        image_bytes=tf.constant([png(picture) for picture in pixels])
    )
    expected = trained.predict(pixels.astype(np.float32) / 255, verbose=0)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    assert set(answer["class_name"].numpy()) <= {b"dark", b"bright"}


def test_no_images_are_an_error(tmp_path, transform_graph):
    arguments = fn_args(tmp_path, transform_graph, Recipe(**SMALL, splits=("train",)), 0)
    with pytest.raises(TrainingError) as caught:
        run_fn(arguments)
    assert str(caught.value) == "there are no images in train to train on"
