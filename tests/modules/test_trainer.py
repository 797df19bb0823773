"""The real loop over a network of one block: dark images and bright ones are told apart."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from modules import trainer
from modules.copies import TRAINED_MODEL
from modules.machines.options import DeviceOptions
from modules.network import logits_of
from modules.trainer import run_fn
from modules.training.checkpoints import alone_at
from modules.training.errors import TrainingError
from modules.training.job import TrainingJob
from modules.training.progress import TrainingProgress
from modules.training.recipe import Recipe
from tests.modules.dark_and_bright import SIDE, SMALL, pictures
from tests.modules.examples import example, png, write_examples

pytestmark = pytest.mark.usefixtures("quick_changes")


def fn_args(
    root: Path,
    transform_graph: Path,
    recipe: Recipe,
    train_count: int = 24,
    *,
    swap_labels: bool = False,
    **job: object,
):
    """What TFX's Trainer hands over, for pictures in two splits; `job` are fields of its job."""
    pixels, labels = pictures(32)
    labels = 1 - labels if swap_labels else labels
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
        custom_config=TrainingJob(recipe, ("dark", "bright"), SIDE, **job).to_custom_config(),
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
    assert (told(caplog)[-1].eval_accuracy is None) is ("val_accuracy" not in metrics)
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert history["images"] == images
    assert history["fit_s"] > 0
    assert set(history["by_epoch"]) == metrics
    assert all(len(values) == 2 for values in history["by_epoch"].values())

    # What is served is what was trained.
    pixels, _ = pictures(4)
    trained = keras.models.load_model(tmp_path / "model" / "Format-Serving" / TRAINED_MODEL)
    served = tf.saved_model.load(str(tmp_path / "model" / "Format-Serving"))
    answer = served.signatures["serve_images"](
        image_bytes=tf.constant([png(picture) for picture in pixels])
    )
    expected = trained.predict(pixels.astype(np.float32) / 255, verbose=0)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    assert set(answer["class_name"].numpy()) <= {b"dark", b"bright"}

    # It says what it knows by what was found of the trained network, which is kept.
    trunk = keras.Model(trained.inputs, trained.layers[-1].input)
    kernel, bias = trained.layers[-1].get_weights()
    logits = trunk.predict(pixels.astype(np.float32) / 255, verbose=0) @ kernel + bias
    found = history["calibration"]
    known = np.logaddexp.reduce(logits, axis=1) >= found["threshold"]
    np.testing.assert_array_equal(answer["known"], known)
    scaled = np.exp(logits / found["temperature"])
    sure = scaled.max(axis=1) / scaled.sum(axis=1)
    np.testing.assert_allclose(answer["confidence"], sure, atol=1e-5)
    properties = json.loads((tmp_path / "run" / "properties.json").read_text())
    assert {name: properties[name] for name in found} == found


@pytest.mark.parametrize("wrong", [2e-4, np.nan])
def test_what_would_answer_otherwise_is_not_exported(tmp_path, transform_graph, monkeypatch, wrong):
    def off(network, *precision):
        right = logits_of(network, *precision)
        return lambda pixels: right(pixels) + tf.constant([wrong, 0])

    monkeypatch.setattr(trainer, "logits_of", off)
    with pytest.raises(TrainingError, match="the network cannot be exported: with its batch norms"):
        run_fn(fn_args(tmp_path, transform_graph, Recipe(**SMALL, epochs=1, learning_rate=0.01)))
    assert not (tmp_path / "model").exists()


def test_no_images_are_an_error(tmp_path, transform_graph):
    arguments = fn_args(tmp_path, transform_graph, Recipe(**SMALL, splits=("train",)), 0)
    with pytest.raises(TrainingError) as caught:
        run_fn(arguments)
    assert str(caught.value) == "there are no images in train to train on"


def told(caplog) -> list[TrainingProgress]:
    return [told for text in caplog.messages if (told := TrainingProgress.parse(text))]


def told_epochs(caplog) -> list[int]:
    """The epochs that were trained since the last call."""
    epochs = {one.epoch for one in told(caplog)}
    caplog.clear()
    return sorted(epochs)


def looked_at(arguments, monkeypatch) -> str:
    """Where a training looks for what was kept of it."""
    found = []

    def stop(*_, checkpoints, **__):
        found.append(checkpoints)
        raise InterruptedError

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(trainer, "train", stop)
        run_fn(arguments)
    return found[0]


def test_a_training_whose_export_failed_is_not_repeated(
    tmp_path, transform_graph, caplog, monkeypatch
):
    def no_room(network, *rest):
        network.save(tmp_path / "first.keras")
        raise OSError("no space left")

    recipe = Recipe(**SMALL, epochs=2, learning_rate=0.01)
    kept = {"checkpoints": str(tmp_path / "checkpoints")}
    first = fn_args(tmp_path / "data", transform_graph, recipe, **kept)
    first.model_run_dir = str(tmp_path / "first")
    with caplog.at_level(logging.INFO, "modules"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
            patch.setattr(trainer, "export_copies", no_room)
            run_fn(first)
        assert told_epochs(caplog) == [1, 2]

        (begun,) = (tmp_path / "checkpoints").iterdir()

        # Another recipe is another training.
        other = fn_args(tmp_path / "data", transform_graph, replace(recipe, seed=1), **kept)
        assert looked_at(other, monkeypatch) != str(begun)

        # So are other images, though their files have the same names and lengths.
        other = fn_args(tmp_path / "other", transform_graph, recipe, swap_labels=True, **kept)
        files = [tmp_path / name / "Split-train" / "a.gz" for name in ("data", "other")]
        assert files[0].stat().st_size == files[1].stat().st_size
        assert looked_at(other, monkeypatch) != str(begun)

        same = fn_args(tmp_path / "data", transform_graph, recipe, **kept)
        assert looked_at(same, monkeypatch) == str(begun)

        # TFX gives the next attempt new folders.
        second = fn_args(tmp_path / "data", transform_graph, recipe, **kept)
        second.model_run_dir = str(tmp_path / "second")
        second.serving_model_dir = str(tmp_path / "model")
        run_fn(second)
        assert told_epochs(caplog) == []
    assert list((tmp_path / "checkpoints").iterdir()) == []
    history = json.loads((tmp_path / "second" / "history.json").read_text())
    assert len(history["by_epoch"]["loss"]) == 2
    first_weights = keras.models.load_model(tmp_path / "first.keras").get_weights()
    second_weights = keras.models.load_model(tmp_path / "model" / TRAINED_MODEL).get_weights()
    for one, other in zip(first_weights, second_weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_it_was_trained_on_is_told(tmp_path, transform_graph):
    recipe = Recipe(**SMALL, epochs=1, learning_rate=0.01)
    devices = DeviceOptions(gpus=0, precision="mixed_bfloat16", xla=False)
    run_fn(fn_args(tmp_path, transform_graph, recipe, devices=devices))
    properties = json.loads((tmp_path / "run" / "properties.json").read_text())
    assert {name: value for name, value in properties.items() if type(value) is not float} == {
        "device": "CPU",
        "precision": "mixed_bfloat16",
        "xla": "off",
        "replicas": 1,
        "workers": 1,
        "strategy": "DefaultDistributionStrategy",
        "batch_size": 8,
    }
    # Trained in bfloat16, kept and exported in float32.
    trained = keras.models.load_model(tmp_path / "model" / "Format-Serving" / TRAINED_MODEL)
    assert {layer.compute_dtype for layer in trained.layers} == {"float32"}


def test_no_other_run_is_at_the_same_training(tmp_path, transform_graph, monkeypatch):
    held = []

    def train(*_: object, checkpoints: str, **__: object) -> None:
        with pytest.raises(TrainingError, match="another run is"), alone_at(checkpoints):
            pass
        held.append(checkpoints)
        raise TrainingError("stopped")

    monkeypatch.setattr("modules.training.checkpoints._WAIT_S", 0.0)
    monkeypatch.setattr(trainer, "train", train)
    recipe = Recipe(**SMALL, epochs=1, splits=("train",))
    given = fn_args(tmp_path, transform_graph, recipe, checkpoints=str(tmp_path / "kept"))
    with pytest.raises(TrainingError, match="stopped"):
        run_fn(given)
    with alone_at(*held):  # it is free again
        pass
