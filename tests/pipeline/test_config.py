"""Settings: what may be said, and what is answered to what may not."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from modules.machines.options import DeviceOptions
from modules.training.recipe import Augmentation, Recipe
from pipeline.config import (
    ConfigError,
    Data,
    FurtherSet,
    PipelineConfig,
    Tune,
    default_config,
    override,
    setting_names,
)

SIGNS = Data("signs", 1, tuple("012345"), {"train": 864, "eval": 216, "test": 120})
FURTHER = (FurtherSet("shop", 1, 2, 40), FurtherSet("trade-fair", 3, 1, 7))


def test_a_configuration_survives_json() -> None:
    config = override(default_config(SIGNS), ["train.epochs=3", "train.augmentation.mirror=false"])
    assert PipelineConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_settings_reach_every_level() -> None:
    config = override(
        default_config(SIGNS),
        [
            "image_size=96",
            "train.blocks=[1, 2]",
            'train.splits=["train"]',
            "train.augmentation.rotation_degrees=5",
            "evaluate.min_accuracy=0.9",
            "schema=infer",
            "devices.precision=float32",
            "devices.gpus=0",
            "warm_start=true",
            "tune.trials=4",
        ],
    )
    assert config.image_size == 96
    assert config.train.blocks == (1, 2)
    assert config.train.splits == ("train",)
    assert config.train.augmentation.rotation_degrees == 5
    assert config.evaluate.min_accuracy == 0.9
    assert config.schema == "infer"
    assert config.devices == DeviceOptions(gpus=0, precision="float32")
    assert config.warm_start is True
    assert config.tune == Tune(trials=4)


def test_the_later_of_two_settings_counts() -> None:
    settings = ["train.epochs=3", "train.epochs=4"]
    assert override(default_config(SIGNS), settings).train.epochs == 4


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epochs", "--set takes name=value, as in train.epochs=30. Received: train.epochs"),
        ("epochs=3", "there is no setting 'epochs'; did you mean tune.epochs or train.epochs?"),
        ("data.span=2", "there is no setting 'data.span'"),
        ("train=3", "there is no setting 'train'"),
        ("train.epochs=many", "train.epochs: Input should be a valid integer"),
        ("train.epochs=0", "train.epochs must be in [1, 100000]. Received: 0"),
        ("train.learning_rate=NaN", "train.learning_rate must be in [1e-09, 10]. Received: nan"),
        ('train.splits=["test"]', "train.splits must be of train and eval, since test is for"),
        ("train.blocks=[]", "train.blocks must be one or more counts from 1. Received: ()"),
        ("train.sizes=[[1, 0.5]]", "train.sizes must end at the full size, 1.0."),
        ("train.sizes=[[0.5, 1]]", "train.sizes must have shares that sum to 1."),
        ("image_size=8", "image_size must be in [32, 1024]. Received: 8"),
        ("evaluate.min_accuracy=95", "evaluate.min_accuracy must be in [0, 1]. Received: 95"),
        ("evaluate.min_accuracy_change=-2", "evaluate.min_accuracy_change must be in [-1, 1]."),
        ("schema=guess", "schema: Input should be 'curated' or 'infer'. Received: 'guess'"),
        ("tune.trials=-1", "tune.trials must be in [0, 1000]. Received: -1"),
        ("tune.trials=1.5", "tune.trials: Input should be a valid integer"),
        ("tune.epochs=0", "tune.epochs must be in [1, 100000]. Received: 0"),
        ("tune=3", "there is no setting 'tune'"),
        ("warm_start=maybe", "warm_start: Input should be a valid boolean"),
        ("devices.precision=int8", "devices.precision: Input should be 'auto', 'float32'"),
        ("devices.gpus=-1", "devices.gpus must be a count from 0"),
        ("serve.precision=float16", "serve.precision: Input should be 'auto', 'float32' or"),
        ("serving_check_images=0", "serving_check_images must be at least 1. Received: 0"),
    ],
)
def test_a_bad_setting_is_named(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        override(default_config(SIGNS), [setting])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_each_further_set_has_a_threshold() -> None:
    config = default_config(SIGNS, FURTHER)
    assert config.evaluate.min_accuracy_on == {"shop": 0.5, "trade-fair": 0.5}
    config = override(config, ["evaluate.min_accuracy_on.trade-fair=0.9"])
    assert config.evaluate.min_accuracy_on == {"shop": 0.5, "trade-fair": 0.9}
    assert PipelineConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    again = override(config, ["evaluate.min_accuracy_on.trade-fair=null"])
    assert again.evaluate.min_accuracy_on == {"shop": 0.5, "trade-fair": None}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "evaluate.min_accuracy_on.shopp=0.9",
            "evaluate.min_accuracy_on.shopp: there is no further test set 'shopp'; "
            "there are: shop, trade-fair",
        ),
        ("evaluate.min_accuracy_on.shop=2", "min_accuracy_on.shop must be in [0, 1]. Received: 2"),
        ("evaluate.min_accuracy_on.shop=high", "evaluate.min_accuracy_on.shop: Input should be a"),
        ("evaluate.min_accuracy_on=0.9", "did you mean evaluate.min_accuracy"),
        ("also_test=[]", "there is no setting 'also_test'"),
    ],
)
def test_a_bad_setting_of_a_further_set_is_named(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        override(default_config(SIGNS, FURTHER), [setting])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_threshold_without_further_sets_names_the_option() -> None:
    with pytest.raises(ConfigError) as error:
        override(default_config(SIGNS), ["evaluate.min_accuracy_on.shop=0.9"])
    assert str(error.value) == (
        "evaluate.min_accuracy_on.shop: there is no further test set 'shop'; give it with "
        "--also-test"
    )


def test_every_name_can_be_set_to_what_it_is() -> None:
    config = default_config(SIGNS, FURTHER)
    values = config.to_dict()
    for name in setting_names(config):
        value = values
        for part in name.split("."):
            value = value[part]
        assert override(config, [f"{name}={json.dumps(value)}"]) == config


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"test": 120}, "signs has no images in its train split"),
        ({"train": 864, "test": 0}, "signs has no images in its test split"),
    ],
)
def test_data_without_a_needed_split_are_refused(counts: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Data("signs", 1, ("0", "1"), counts)


def test_a_single_class_is_refused() -> None:
    with pytest.raises(ConfigError, match="signs has 1 class: a classifier needs at least two"):
        Data("signs", 1, ("0",), {"train": 1, "test": 1})


def test_data_without_eval_are_trained_on_what_there_is() -> None:
    config = default_config(Data("mine", 1, ("a", "b"), {"train": 10, "test": 2}))
    assert config.train.splits == ("train",)
    assert config.data.splits == ("train", "test")


def test_there_is_no_tuning_without_an_eval_split() -> None:
    config = default_config(Data("mine", 1, ("a", "b"), {"train": 10, "test": 2}))
    with pytest.raises(ConfigError) as error:
        override(config, ["tune.trials=3"])
    assert str(error.value) == (
        "tune.trials needs images in an eval split, by which trials are judged, and mine has none. "
        "Received: tune.trials=3"
    )
    assert override(config, ["warm_start=true"]).warm_start


def test_importing_the_configuration_imports_no_tensorflow() -> None:
    code = "import sys, pipeline.config; print('tensorflow' in sys.modules or 'tfx' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"


def test_the_recipe_suits_the_classes():
    hands = default_config(SIGNS).train
    assert hands == Recipe()
    drawn = default_config(replace(SIGNS, name="signs-synthetic")).train
    assert (drawn.epochs, drawn.drawn, drawn.augmentation.strength) == (24, 0.0, 0.15)
    fruits = default_config(Data("mine", 1, ("green", "red"), {"train": 10, "test": 2})).train
    assert fruits.augmentation == Augmentation().keeping_colors()
    assert fruits.augmentation.invert == fruits.augmentation.grey == 0
