"""The real loop over a network of one block: dark images and bright ones are told apart."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from modules.recipe import Recipe
from modules.trainer import run_fn
from modules.training_errors import TrainingError
from tests.modules.dark_and_bright import SIDE, SMALL, pictures
from tests.modules.examples import example, png, write_examples


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
