"""The job is read as it was written, and a bad one is one clear error."""

import json
from dataclasses import fields, replace

import pytest

from modules.machines.options import DeviceOptions
from modules.training.job import JobError, Search, TrainingJob
from modules.training.recipe import Augmentation, Recipe
from signs.errors import UserError

JOB = TrainingJob(
    recipe=Recipe(epochs=3, augmentation=Augmentation(mirror=False)),
    class_names=("grün", "red"),
    image_size=32,
    devices=DeviceOptions(gpus=0, precision="float32", xla=False),
    code="abc",
    checkpoints="s3://bucket/checkpoints",
    max_steps=7,
    search=Search(trials=4, epochs=2, counts={"train": 3, "eval": 1}),
)
OTHER = {
    "recipe": Recipe(epochs=4),
    "class_names": ("red", "grün"),
    "image_size": 64,
    "devices": DeviceOptions(),
    "code": "abd",
    "checkpoints": "/elsewhere",
    "max_steps": 8,
    "search": None,
}


@pytest.mark.parametrize("job", [JOB, TrainingJob(Recipe(), ("a", "b"), 64)])
def test_it_is_read_as_it_was_written(job: TrainingJob) -> None:
    # TFX keeps it as JSON.
    assert TrainingJob.from_custom_config(json.loads(json.dumps(job.to_custom_config()))) == job


@pytest.mark.parametrize("name", [each.name for each in fields(TrainingJob)])
def test_whatever_changes_changes_what_is_cached(name: str) -> None:
    other = replace(JOB, **{name: OTHER[name]})
    assert other.to_custom_config() != JOB.to_custom_config()
    # Where the state of a training is kept has no part in what comes of it.
    assert (other.identity() == JOB.identity()) is (name == "checkpoints")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('"epochs":3', '"epochs":"many"', "recipe.epochs: Input should be a valid integer"),
        ('"epochs":3', '"epochs":0', "train.epochs must be in [1, 100000]. Received: 0"),
        ('"gpus":0', '"gpus":-1', "devices.gpus must be a count from 0"),
        ('"image_size":32,', "", "image_size: Field required"),
        ('{"recipe"', '{"recipe', "Invalid JSON"),
    ],
)
def test_a_bad_value_is_one_error(old: str, new: str, text: str) -> None:
    [(key, value)] = JOB.to_custom_config().items()
    assert old in value
    with pytest.raises(JobError) as caught:
        TrainingJob.from_custom_config({key: value.replace(old, new, 1)})
    assert str(caught.value).startswith("the training job cannot be read: ")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("custom_config", [None, {}, {"recipe": {}}, {"training_job": {}}])
def test_what_is_no_job_is_told(custom_config: dict | None) -> None:
    with pytest.raises(UserError) as caught:
        TrainingJob.from_custom_config(custom_config)
    assert str(caught.value) == (
        "custom_config must hold 'training_job', as `TrainingJob.to_custom_config` writes it. "
        f"Received: {custom_config}"
    )
