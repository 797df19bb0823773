import dataclasses
import json
import math

import pytest

from modules.training.recipe import Augmentation, Recipe, RecipeError
from signs.errors import UserError

FULL_SIZE = ((1.0, 1.0),)


@pytest.mark.parametrize(
    ("epochs", "image_size", "sizes", "expected"),
    [
        (1, 64, None, (64,)),
        (2, 64, None, (32, 64)),
        (3, 64, None, (32, 48, 64)),
        (4, 64, None, (32, 32, 48, 64)),
        (10, 64, None, (32, 32, 32, 32, 48, 48, 48, 64, 64, 64)),
        (60, 64, None, (32,) * 24 + (48,) * 18 + (64,) * 18),
        (4, 224, None, (112, 112, 168, 224)),
        (4, 100, None, (48, 48, 72, 100)),
        (4, 10, None, (8, 8, 8, 10)),
        (4, 8, None, (8, 8, 8, 8)),
        (3, 64, FULL_SIZE, (64, 64, 64)),
        (2, 64, ((0.5, 0.25), (0.5, 1.0)), (16, 64)),
        (3, 64, ((1 / 3, 0.5), (1 / 3, 0.75), (1 / 3, 1.0)), (32, 48, 64)),
        (2, 64, ((0.9, 0.5), (0.1, 1.0)), (32, 64)),
    ],
)
def test_size_of_epochs(epochs, image_size, sizes, expected):
    recipe = Recipe(epochs=epochs) if sizes is None else Recipe(epochs=epochs, sizes=sizes)
    assert recipe.size_of_epochs(image_size) == expected


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 7, 13, 48, 101])
def test_every_epoch_has_a_size_and_the_last_is_full(epochs):
    sizes = Recipe(epochs=epochs, sizes=((0.1, 0.5),) * 9 + ((0.1, 1.0),)).size_of_epochs(32)
    assert len(sizes) == epochs
    assert sizes[-1] == 32


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(
            blocks=(1, 2),
            width=8,
            zero_last_gamma=False,
            splits=("train",),
            epochs=3,
            batch_size=7,
            learning_rate=0.01,
            warmup=0.0,
            weight_decay=0.0,
            label_smoothing=0.0,
            sizes=FULL_SIZE,
            augmentation=Augmentation(0.5, 0.1, 1.0, scale=0.01, mirror=False, noise=0.03),
            seed=5,
        ),
    ],
)
def test_survives_json(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_what_is_left_out_of_a_dictionary_is_the_default():
    recipe = Recipe.from_dict({"epochs": 2, "augmentation": {"mirror": False}})
    assert recipe == Recipe(epochs=2, augmentation=Augmentation(mirror=False))


def test_the_defaults_are_the_resnet50_of_the_course():
    assert (Recipe().blocks, Recipe().width) == ((3, 4, 6, 3), 64)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"blocks": ()}, "train.blocks must be one or more counts from 1. Received: ()"),
        ({"blocks": (3, 0)}, "train.blocks must be one or more counts from 1. Received: (3, 0)"),
        (
            {"splits": ()},
            "train.splits must be of train and eval, since test is for evaluation alone. "
            "Received: ()",
        ),
        (
            {"splits": ("train", "test")},
            "train.splits must be of train and eval, since test is for evaluation alone. "
            "Received: ('train', 'test')",
        ),
        ({"width": 0}, "train.width must be in [1, 1024]. Received: 0"),
        ({"epochs": 0}, "train.epochs must be in [1, 100000]. Received: 0"),
        ({"batch_size": 0}, "train.batch_size must be in [1, 65536]. Received: 0"),
        ({"learning_rate": 0}, "train.learning_rate must be in [1e-09, 10]. Received: 0"),
        ({"learning_rate": 11}, "train.learning_rate must be in [1e-09, 10]. Received: 11"),
        (
            {"learning_rate": math.nan},
            "train.learning_rate must be in [1e-09, 10]. Received: nan",
        ),
        ({"warmup": 1}, "train.warmup must be in [0, 0.9]. Received: 1"),
        ({"weight_decay": -0.1}, "train.weight_decay must be in [0, 1]. Received: -0.1"),
        ({"label_smoothing": 1.0}, "train.label_smoothing must be in [0, 0.9]. Received: 1.0"),
        ({"seed": -1}, "train.seed must be in [0, 2.14748e+09]. Received: -1"),
        ({"sizes": ()}, "train.sizes must end at the full size, 1.0. Received: ()"),
        (
            {"sizes": ((1.0, 0.5),)},
            "train.sizes must end at the full size, 1.0. Received: ((1.0, 0.5),)",
        ),
        (
            {"sizes": ((0.5, 0.5), (0.4, 1.0))},
            "train.sizes must have shares that sum to 1. Received: ((0.5, 0.5), (0.4, 1.0))",
        ),
        (
            {"sizes": ((-0.5, 0.5), (1.5, 1.0))},
            "a share in train.sizes must be in [0, 1]. Received: -0.5",
        ),
        (
            {"sizes": ((0.5, 0.2), (0.5, 1.0))},
            "a size in train.sizes must be in [0.25, 1]. Received: 0.2",
        ),
        (
            {"sizes": ((0.5, 2.0), (0.5, 1.0))},
            "a size in train.sizes must be in [0.25, 1]. Received: 2.0",
        ),
    ],
)
def test_bad_values_are_named(values, text):
    with pytest.raises(RecipeError) as caught:
        Recipe(**values)
    assert str(caught.value) == text
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"rotation_degrees": 181},
            "augmentation.rotation_degrees must be in [0, 180]. Received: 181",
        ),
        ({"scale": 5}, "augmentation.scale must be in [0, 4]. Received: 5"),
        ({"strength": 2.5}, "augmentation.strength must be in [0, 2]. Received: 2.5"),
        ({"ramp": 1.1}, "augmentation.ramp must be in [0, 1]. Received: 1.1"),
        ({"calm": -0.5}, "augmentation.calm must be in [0, 1]. Received: -0.5"),
        ({"gamma": 3}, "augmentation.gamma must be in [0, 2]. Received: 3"),
        ({"background": -1}, "augmentation.background must be in [0, 1]. Received: -1"),
        ({"invert": 2}, "augmentation.invert must be in [0, 1]. Received: 2"),
        ({"noise": 1}, "augmentation.noise must be in [0, 0.95]. Received: 1"),
        ({"shift": -0.1}, "augmentation.shift must be in [0, 0.95]. Received: -0.1"),
        ({"brightness": 2}, "augmentation.brightness must be in [0, 0.95]. Received: 2"),
        ({"contrast": math.nan}, "augmentation.contrast must be in [0, 0.95]. Received: nan"),
    ],
)
def test_bad_augmentation_is_named(values, text):
    with pytest.raises(RecipeError) as caught:
        Augmentation(**values)
    assert str(caught.value) == text


def test_hyperparameters_replace_values_at_every_level():
    recipe = Recipe(epochs=3)
    tuned = recipe.with_hyperparameters(
        {"learning_rate": 0.01, "augmentation.rotation_degrees": 5, "blocks": [1, 2]}
    )
    assert tuned == dataclasses.replace(
        recipe,
        learning_rate=0.01,
        blocks=(1, 2),
        augmentation=Augmentation(rotation_degrees=5),
    )
    assert recipe == Recipe(epochs=3)
    assert recipe.with_hyperparameters({}) == recipe


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"learning_rte": 0.1},
            "there is no hyperparameter 'learning_rte'; did you mean learning_rate or ",
        ),
        (
            {"augmentation.rotate": 1},
            "there is no hyperparameter 'augmentation.rotate'; did you mean ",
        ),
        ({"augmentation": {}}, "there is no hyperparameter 'augmentation'; "),
        ({"epochs.x": 1}, "there is no hyperparameter 'epochs.x'; did you mean epochs or "),
        ({"?": 1}, "there is no hyperparameter '?'; known: blocks, width, "),
        ({"": 1}, "there is no hyperparameter ''; known: blocks, width, "),
        ({"learning_rate": 11}, "train.learning_rate must be in [1e-09, 10]. Received: 11"),
        ({"learning_rate": math.nan}, "train.learning_rate must be in [1e-09, 10]. Received: nan"),
        (
            {"augmentation.scale": "wide"},
            "train.augmentation.scale: Input should be a valid number, unable to parse string as a "
            "number. Received: 'wide'",
        ),
    ],
)
def test_bad_hyperparameters_are_named(values, text):
    with pytest.raises(RecipeError) as caught:
        Recipe().with_hyperparameters(values)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("max_steps", "epochs"), [(0, 60), (1, 1), (34, 1), (35, 2), (68, 2), (2040, 60), (10_000, 60)]
)
def test_steps_shorten_a_training_to_whole_epochs(max_steps: int, epochs: int) -> None:
    assert Recipe().within(max_steps, 34).epochs == epochs


def test_negative_steps_are_told() -> None:
    with pytest.raises(RecipeError, match=r"max_steps must be 0 or more\. Received: -1"):
        Recipe().within(-1, 34)
