"""What a model server answers, as the client hands it on."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """The model's answer for one image.

    Args:
        source: the image's path, or "input 3" for the fourth input that was no path.
        class_id: index of the most probable class.
        class_name: its name.
        probabilities: one for each class, in [0, 1], summing to 1.
        class_names: the names of all classes, in the order of `probabilities`; () where the model
            does not tell them.
        confidence: how probable it is that the class is right, in [0, 1], calibrated on pictures of
            the kind that the model was trained on. None where the model does not tell it.
        known: whether the picture is of that kind. Where it is not, the class and the confidence
            mean nothing. None where the model does not tell it.
    """

    source: str
    class_id: int
    class_name: str
    probabilities: tuple[float, ...]
    class_names: tuple[str, ...] = ()
    confidence: float | None = None
    known: bool | None = None

    @property
    def probability(self) -> float:
        """The probability of the class that was predicted."""
        return self.probabilities[self.class_id]

    @property
    def by_class(self) -> dict[str, float]:
        """The probability of each class by its name, most probable first; {} without names."""
        pairs = zip(self.class_names, self.probabilities, strict=bool(self.class_names))
        return dict(sorted(pairs, key=lambda pair: -pair[1]))


@dataclass(frozen=True)
class VersionStatus:
    """A version of the model on the server.

    Args:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error_message: why it failed; empty if nothing went wrong.
    """

    version: int
    state: str
    error_message: str = ""


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature; a size of -1, or a shape of None, may be anything."""

    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Signature:
    """What goes in and what comes out, by name."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclass(frozen=True)
class Metadata:
    """The version that answers and its signatures, by name."""

    version: int
    signatures: Mapping[str, Signature]
