"""Input -> serialized tf.Examples -> run: what Classify, Regress and MultiInference share.

The checks, their order and their words are those of TF Serving's `util.cc`
(`InputToSerializedExampleTensor`, `PerformOneShotTensorComputation`).
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from model_server.errors import InvalidArgumentError
from model_server.servable import Servable
from signs import protos, tensors


@dataclass(frozen=True)
class Outputs:
    """What a run on examples gave.

    Args:
        number: how many examples there were.
        arrays: what was fetched, by the names of the tensors.
        seconds: how long the run took.
    """

    number: int
    arrays: dict[str, np.ndarray]
    seconds: float


def run(
    sent: protos.Input,
    servable: Servable,
    feeds: Iterable[str],
    fetches: Iterable[str],
    deadline: float | None = None,
) -> Outputs:
    """Feeds the examples of an Input.

    Args:
        sent: the Input message.
        servable: the loaded model.
        feeds: names of the tensors to feed, each with all the examples.
        fetches: names of the tensors to compute.
        deadline: when the caller stops waiting, in seconds of `time.monotonic`.

    Raises:
        RequestError: there is no example, or the model failed.
    """
    examples = serialized(sent)
    if not len(examples):
        raise InvalidArgumentError("Input is empty.")
    names = list(fetches)
    started = time.perf_counter()
    arrays = servable.run(dict.fromkeys(feeds, examples), names, deadline)
    seconds = time.perf_counter() - started
    return Outputs(len(examples), dict(zip(names, arrays, strict=True)), seconds)


def serialized(sent: protos.Input) -> np.ndarray:
    """The examples of an Input as serialized tf.Examples, an object array [number].

    A context's bytes come before those of each example. Read together the two are one message, in
    which an example's feature wins over the context's feature of the same name.
    """
    with_context = sent.example_list_with_context
    context = with_context.context.SerializeToString()
    examples = [example.SerializeToString() for example in sent.example_list.examples]
    examples += [context + example.SerializeToString() for example in with_context.examples]
    array = np.empty(len(examples), object)
    array[:] = examples
    return array


def dtype_name(array: np.ndarray) -> str:
    """The DataType of an array as the checks of outputs tell it: "DT_FLOAT"."""
    return protos.DataType.Name(tensors.enum_of(array))


def shape_text(array: np.ndarray) -> str:
    """The shape of an array as the checks of outputs tell it: "[2,3]", for a scalar "[]"."""
    return f"[{','.join(str(size) for size in array.shape)}]"
