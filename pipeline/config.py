"""What a run computes: the data it reads, the recipe, the thresholds. Where it runs is elsewhere.

defaults for the data set -> overridden by `--set name=value` -> recorded with the run
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from data.window.choice import ALL, Choice
from drawing import shows_signs
from modules.evaluation import Thresholds
from modules.machines.options import DeviceOptions
from modules.training.errors import in_words
from modules.training.job import Search, TrainingJob
from modules.training.recipe import Recipe
from signs import features
from signs.errors import UserError


class ConfigError(UserError):
    """A value of the configuration cannot be used."""


@dataclass(frozen=True)
class Data:
    """The spans that a run reads, as their manifests describe them."""

    name: str  # of the data set: it names the pipeline and the served model
    span: int | None  # None takes the newest
    class_names: tuple[str, ...]  # in the order of the labels
    counts: dict[str, int]  # images by split
    version: int | None = None  # of the span; None takes the newest
    spans: str = ALL  # which of those that lead to it are read, see `data.window.choice`

    def __post_init__(self) -> None:
        if len(self.class_names) < 2:
            raise ConfigError(
                f"{self.name} has {len(self.class_names)} class: a classifier needs at least two"
            )
        Choice.parse(self.spans)
        for split in (features.TRAIN, features.TEST):
            if not self.counts.get(split):
                where = "" if self.spans == ALL else f" (--spans {self.spans}: take more of them)"
                raise ConfigError(
                    f"{self.name} has no images in its {split} split{where}: the pipeline trains "
                    f"on {features.TRAIN} and evaluates on {features.TEST}. Received: {self.counts}"
                )

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that hold images."""
        return tuple(split for split in features.SPLITS if self.counts.get(split))


@dataclass(frozen=True)
class FurtherSet:
    """A further test set, which judges the model beside the data's own `test` split."""

    name: str
    span: int
    version: int
    images: int  # all of classes that the model knows


@dataclass(frozen=True)
class Tune:
    """The search for better values of the recipe, on `train` and judged on `eval`."""

    trials: int = 0  # trainings, the first of them by the recipe as it stands; 0: no search
    epochs: int = 12  # of each trial: enough to tell good values from bad ones

    def __post_init__(self) -> None:
        if not 0 <= self.trials <= 1000:
            raise ConfigError(f"tune.trials must be in [0, 1000]. Received: {self.trials}")
        if not 1 <= self.epochs <= 100_000:
            raise ConfigError(f"tune.epochs must be in [1, 100000]. Received: {self.epochs}")


@dataclass(frozen=True)
class Serve:
    """What is pushed."""

    # "auto": bfloat16 where the serving check's processor has instructions for it, and where no
    # test image gets another class by it; else float32.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


@dataclass(frozen=True)
class PipelineConfig:
    """Everything that a run's results depend on."""

    data: Data
    image_size: int = features.IMAGE_SIZE  # pixels a side that the network sees
    # "curated": the schema in the repository; "infer": SchemaGen's guess, for exploration.
    schema: Literal["curated", "infer"] = "curated"
    # Copies of what is held out: tell of them, train without them, or do not run.
    leaks: Literal["report", "drop", "fail"] = "report"
    # Pictures that are not as those of train, or of the span before: tell of them, or do not run.
    pictures: Literal["report", "fail"] = "report"
    # Whether to look for labels that are wrong: see data.suspects.
    suspects: bool = False
    train: Recipe = field(default_factory=Recipe)
    devices: DeviceOptions = field(default_factory=DeviceOptions)
    # Start from the weights of the latest blessed model, where there is one.
    warm_start: bool = False
    # Whether that may be a model of these very images. A watch says no: it goes on with a run that
    # was cut off, from where that began.
    warm_start_again: bool = True
    tune: Tune = field(default_factory=Tune)
    evaluate: Thresholds = field(default_factory=Thresholds)
    serve: Serve = field(default_factory=Serve)
    serving_check_images: int = 32  # test images that the candidate answers before it is pushed
    also_test: tuple[FurtherSet, ...] = ()

    def __post_init__(self) -> None:
        if not 32 <= self.image_size <= 1024:
            raise ConfigError(f"image_size must be in [32, 1024]. Received: {self.image_size}")
        if self.serving_check_images < 1:
            raise ConfigError(
                f"serving_check_images must be at least 1. Received: {self.serving_check_images}"
            )
        splits = tuple(split for split in self.train.splits if self.data.counts.get(split))
        if splits != self.train.splits:
            # A data set without an `eval` split is trained on what it has.
            object.__setattr__(self, "train", replace(self.train, splits=splits))
        if self.tune.trials and not self.data.counts.get(features.EVAL):
            raise ConfigError(
                f"tune.trials needs images in an {features.EVAL} split, by which trials are judged,"
                f" and {self.data.name} has none. Received: tune.trials={self.tune.trials}"
            )
        # Each further test set has a threshold, so that each has a setting.
        names = [one.name for one in self.also_test]
        for name in self.evaluate.min_accuracy_on:
            if name not in names:
                there = f"there are: {', '.join(names)}" if names else "give it with --also-test"
                raise ConfigError(
                    f"evaluate.min_accuracy_on.{name}: there is no further test set {name!r}; "
                    f"{there}"
                )
        least = {name: self.evaluate.accuracy_on(name) for name in names}
        object.__setattr__(self, "evaluate", replace(self.evaluate, min_accuracy_on=least))

    @property
    def pipeline_name(self) -> str:
        """The data set's name: metadata, baselines and pushed models of others are kept apart."""
        return self.data.name

    def training_job(self, *, code: str, checkpoints: str, search: bool = False) -> TrainingJob:
        """What the Trainer is to do; with `search`, the Tuner.

        Args:
            code: digest of the user code.
            checkpoints: folder or address under which unfinished trainings are kept.
            search: whether to search for hyperparameters.
        """
        return TrainingJob(
            recipe=self.train,
            class_names=self.data.class_names,
            image_size=self.image_size,
            devices=self.devices,
            code=code,
            checkpoints=checkpoints,
            search=Search(self.tune.trials, self.tune.epochs, self.data.counts) if search else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON holds it."""
        return TypeAdapter(PipelineConfig).dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "PipelineConfig":
        """The configuration that `to_dict` wrote.

        Raises:
            ConfigError: a value is missing, of another type or out of range.
        """
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as err:
            raise ConfigError(in_words(err)) from err


def default_config(data: Data, also_test: tuple[FurtherSet, ...] = ()) -> PipelineConfig:
    """The configuration that a data set is run with unless told otherwise."""
    config = PipelineConfig(data, also_test=also_test)
    train = config.train
    if data.name == features.SYNTHETIC_DATASET:
        # Drawings are learnt quickly: enough to show every step of the pipeline within minutes.
        gentle = replace(train.augmentation, strength=0.15)
        train = replace(train, epochs=24, drawn=0.0, augmentation=gentle)
    elif not shows_signs(data.class_names):
        # Any other classes may differ in nothing but their colours.
        train = replace(train, augmentation=train.augmentation.keeping_colors())
    return replace(config, train=train)


def override(config: PipelineConfig, settings: Iterable[str]) -> PipelineConfig:
    """Applies `name=value` settings, such as `train.epochs=30` or `train.splits=["train"]`.

    Args:
        config: what to start from.
        settings: names with dots, values as JSON or plain words.

    Returns:
        A new configuration.

    Raises:
        ConfigError: a setting has no `=`, an unknown name, or a value of the wrong type or range.
    """
    values = config.to_dict()
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set takes name=value, as in train.epochs=30. Received: {setting}")
        *parents, last = name.strip().split(".")
        known = setting_names(config)
        if parents == ["evaluate", "min_accuracy_on"]:
            known.append(name.strip())  # the configuration knows its further test sets by name
        if name.strip() not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"--set {setting}: there is no setting {name!r}; {hint}")
        place = values
        for parent in parents:
            place = place[parent]
        try:
            place[last] = json.loads(text)
        except json.JSONDecodeError:
            place[last] = text
    return PipelineConfig.from_dict(values)


def setting_names(config: PipelineConfig) -> list[str]:
    """The names that `override` takes."""

    def walk(value: Any, prefix: str) -> Iterable[str]:
        for item in fields(value):
            child = getattr(value, item.name)
            if is_dataclass(child):
                yield from walk(child, f"{prefix}{item.name}.")
            elif isinstance(child, Mapping):
                yield from (f"{prefix}{item.name}.{key}" for key in child)
            else:
                yield prefix + item.name

    # What the data are is not for settings: their manifests say it.
    return [name for name in walk(config, "") if not name.startswith(("data.", "also_test"))]
