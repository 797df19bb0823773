"""How a model is trained: every choice in one place, checked before any work starts.

AdamW (Loshchilov and Hutter 2019) under a one-cycle learning rate (Smith and Topin 2018), small
images first, label smoothing (He et al. 2018), and random affine and light changes.

    signs run --data 64x64_SIGNS.zip

trains the defaults on 1,080 photographs in 12 minutes on two slow cores (up to twice that where
other work shares them), and gets 118 to 120 of the 120 test photographs right: an accuracy of 0.994
over six trainings. docs/training.md has what each ingredient is worth.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from modules.training.errors import in_words
from signs import features
from signs.errors import UserError


class RecipeError(UserError):
    """A value of the recipe is out of its range."""


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes to a training image; zero or false switches one off.

    Numbers are drawn uniformly, for each image anew, unless something else stands there.
    """

    strength: float = 1.0  # multiplies all that follows: less for a short training
    ramp: float = 0.3  # fraction of the steps over which the strength grows from nothing
    calm: float = 0.7  # by how much of itself it falls over as many steps at the end
    variety: float = 1.0  # an image's own strength is a factor in [1 - v, 1]: some stay as they are

    # What people change.
    rotation_degrees: float = 35.0  # in [-r, r]
    any_rotation: float = 0.1  # share of the images that are turned by up to a quarter
    scale: float = 0.4  # zoom: a factor in [1 / (1 + s), 1 + s], its logarithm uniform
    aspect: float = 0.25  # width over height: a factor in [exp(-a), exp(a)]
    slant: float = 0.1  # pixels to the side for each pixel down, in [-s, s]
    tilt: float = 0.15  # perspective: one edge is that much nearer than the centre
    shift: float = 0.15  # fraction of the side, in [-s, s], for each axis
    mirror: bool = True  # left and right swapped for half of the images: a count stays a count
    erase: float = 0.4  # share of the images with a grey square on them

    # What rooms and cameras change.
    background: float = 0.6  # share of the images with a plain wall that get another wall
    brightness: float = 0.3  # factor in [1 - b, 1 + b]
    contrast: float = 0.4  # factor in [1 - c, 1 + c], about the image's mean
    white_balance: float = 0.25  # factor in [1 - w, 1 + w], for each of red, green and blue
    saturation: float = 0.6  # factor in [1 - s, 1 + s]
    gamma: float = 0.5  # power in [exp(-g), exp(g)]
    vignette: float = 0.5  # how much darker the corners are, at most
    slope: float = 0.3  # how much lighter one edge is, at most, for each axis
    blur: float = 0.5  # share of the images out of focus
    noise: float = 0.04  # deviation of a pixel, at most
    grey: float = 0.1  # share of the images without colour
    swap_colors: float = 0.1  # share of the images with red and blue swapped
    invert: float = 0.1  # share of the images that are negatives

    def keeping_colors(self) -> "Augmentation":
        """The same, for classes that colour or brightness may tell apart."""
        return replace(
            self,
            white_balance=0.1,
            saturation=0.2,
            gamma=0.2,
            grey=0.0,
            swap_colors=0.0,
            invert=0.0,
        )

    def __post_init__(self) -> None:
        _check("augmentation.strength", self.strength, 0, 2)
        _check("augmentation.ramp", self.ramp, 0, 1)
        _check("augmentation.calm", self.calm, 0, 1)
        _check("augmentation.variety", self.variety, 0, 1)
        _check("augmentation.rotation_degrees", self.rotation_degrees, 0, 180)
        _check("augmentation.scale", self.scale, 0, 4)
        for name in ("aspect", "gamma"):
            _check(f"augmentation.{name}", getattr(self, name), 0, 2)
        for name in ("slant", "tilt", "shift", "vignette", "slope", "noise"):
            _check(f"augmentation.{name}", getattr(self, name), 0, 0.95)
        for name in ("brightness", "contrast", "white_balance", "saturation"):
            _check(f"augmentation.{name}", getattr(self, name), 0, 0.95)
        for name in (
            "any_rotation",
            "erase",
            "background",
            "blur",
            "grey",
            "swap_colors",
            "invert",
        ):
            _check(f"augmentation.{name}", getattr(self, name), 0, 1)


@dataclass(frozen=True)
class Recipe:
    """A training from random weights to a model to export."""

    # The network: see modules.network.resnet50. The defaults are the course's ResNet50.
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    zero_last_gamma: bool = True

    # What it is trained on. Final models learn from `eval` too: it is for choices, and those have
    # been made. Leave it out (`("train",)`) to see its accuracy during training.
    splits: tuple[str, ...] = (features.TRAIN, features.EVAL)

    epochs: int = 60  # passes over the images
    batch_size: int = 32  # images in a step
    # Drawn hands in a step, for each image of the data set: where its classes are SIGNS's.
    drawn: float = 1.0
    drawn_no_sign: float = 0.35  # share of them that show none of the signs
    learning_rate: float = 1e-3  # at the peak of the cycle
    warmup: float = 0.25  # fraction of the steps before the peak
    weight_decay: float = 0.02  # on the kernels alone
    label_smoothing: float = 0.1
    # Progressive resizing: (share of the epochs, size relative to the full one). The last must be
    # full size, since a model scores near chance at a size it was not trained at.
    sizes: tuple[tuple[float, float], ...] = ((0.4, 0.5), (0.3, 0.75), (0.3, 1.0))
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.blocks or min(self.blocks) < 1:
            raise RecipeError(
                f"train.blocks must be one or more counts from 1. Received: {self.blocks}"
            )
        if not self.splits or set(self.splits) - {features.TRAIN, features.EVAL}:
            raise RecipeError(
                f"train.splits must be of {features.TRAIN} and {features.EVAL}, since "
                f"{features.TEST} is for evaluation alone. Received: {self.splits}"
            )
        _check("train.width", self.width, 1, 1024)
        _check("train.epochs", self.epochs, 1, 100_000)
        _check("train.batch_size", self.batch_size, 1, 65_536)
        _check("train.drawn", self.drawn, 0, 16)
        _check("train.drawn_no_sign", self.drawn_no_sign, 0, 1)
        _check("train.learning_rate", self.learning_rate, 1e-9, 10)
        _check("train.warmup", self.warmup, 0, 0.9)
        _check("train.weight_decay", self.weight_decay, 0, 1)
        _check("train.label_smoothing", self.label_smoothing, 0, 0.9)
        _check("train.seed", self.seed, 0, 2**31 - 1)
        if not self.sizes or self.sizes[-1][1] != 1.0:
            raise RecipeError(f"train.sizes must end at the full size, 1.0. Received: {self.sizes}")
        if abs(sum(share for share, _ in self.sizes) - 1) > 1e-6:
            raise RecipeError(f"train.sizes must have shares that sum to 1. Received: {self.sizes}")
        for share, relative in self.sizes:
            _check("a share in train.sizes", share, 0, 1)
            _check("a size in train.sizes", relative, 0.25, 1.0)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON holds it."""
        return TypeAdapter(Recipe).dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "Recipe":
        """The recipe that `to_dict` wrote."""
        return TypeAdapter(cls).validate_python(values)

    def with_hyperparameters(self, values: Mapping[str, object]) -> "Recipe":
        """The recipe with some of its values replaced, as a tuner found them.

        Args:
            values: by name, with dots: `learning_rate`, `augmentation.rotation_degrees`.

        Returns:
            A new recipe.

        Raises:
            RecipeError: there is no such name, or a value is of the wrong type or out of range.
        """
        recipe = self.to_dict()
        inner = recipe["augmentation"]
        known = [name for name in recipe if name != "augmentation"]
        known += [f"augmentation.{name}" for name in inner]
        for name, value in values.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=2, cutoff=0.4)
                hint = (
                    f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
                )
                raise RecipeError(f"there is no hyperparameter {name!r}; {hint}")
            place = inner if name.startswith("augmentation.") else recipe
            place[name.removeprefix("augmentation.")] = value
        try:
            return Recipe.from_dict(recipe)
        except ValidationError as err:
            raise RecipeError(in_words(err, "train")) from err

    def within(self, max_steps: int, steps_per_epoch: int) -> "Recipe":
        """The recipe, shortened to a number of steps; its schedules shrink with it.

        Args:
            max_steps: rounded up to whole epochs; 0 leaves the recipe as it is.
            steps_per_epoch: batches in one pass over the images.

        Returns:
            A recipe of at most as many epochs as this one.

        Raises:
            RecipeError: `max_steps` is negative.
        """
        if max_steps < 0:
            raise RecipeError(f"max_steps must be 0 or more. Received: {max_steps}")
        if max_steps == 0:
            return self
        return replace(self, epochs=min(self.epochs, -(-max_steps // steps_per_epoch)))

    def size_of_epochs(self, image_size: int) -> tuple[int, ...]:
        """Pixels a side to train at, epoch by epoch.

        Args:
            image_size: the full size, in pixels a side.

        Returns:
            `epochs` sizes; the last epoch is always at the full size.
        """
        sizes: list[int] = []
        passed = 0.0
        for share, relative in self.sizes:
            passed += share
            # Whole multiples of 8 keep the maps of the stages free of ragged edges.
            size = image_size if relative == 1.0 else round(image_size * relative / 8) * 8
            size = min(max(size, 8), image_size)
            sizes += [size] * (round(passed * self.epochs) - len(sizes))
        sizes[-1] = image_size
        return tuple(sizes)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise RecipeError(f"{name} must be in [{low:g}, {high:g}]. Received: {value}")
