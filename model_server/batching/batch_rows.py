"""Rows of many requests -> rows of one batch.

The checks, their order and their words are those of TF Serving's `batching_session.cc` and
`batching_util.cc`.
"""

import math
from collections.abc import Mapping

import numpy as np

from model_server.errors import FailedPreconditionError, InvalidArgumentError

_MAX_PADDED_RANK = 6


def count(feeds: Mapping[str, np.ndarray]) -> int:
    """How many rows a request has: the same in all arrays it feeds.

    Raises:
        InvalidArgumentError: there is no array, a scalar, or another number of rows in another
            array; the first one in the order of their names decides.
    """
    if not feeds:
        raise InvalidArgumentError("Batching Run() must have at least one input tensor")
    rows: int | None = None
    for name in sorted(feeds):
        if feeds[name].ndim == 0:
            raise InvalidArgumentError(
                "Batching Run() input tensors must have at least one dimension"
            )
        if rows is not None and len(feeds[name]) != rows:
            raise InvalidArgumentError(
                "Batching Run() input tensors must have equal 0th-dimension size"
            )
        rows = len(feeds[name])
    return rows or 0


def merged(name: str, arrays: list[np.ndarray], padding: int, pads: bool) -> np.ndarray:
    """The rows of all tasks; then the first row of the last one, `padding` times.

    Args:
        name: of the tensor they are fed to.
        arrays: one [rows, ...] for each task, of one type.
        padding: how many rows to fill in; 0 where there is none to repeat.
        pads: whether rows are made as wide as the widest.

    Raises:
        RequestError: the arrays have different shapes, or cannot be padded.
    """
    if pads:
        arrays = _as_wide_as_the_widest(name, arrays)
    elif len({array.shape[1:] for array in arrays}) > 1:
        raise FailedPreconditionError(
            f"Tensors with name '{name}' from different tasks have different shapes and padding is "
            "turned off. Set pad_variable_length_inputs to true, or ensure that all tensors with "
            "the same name have equal dimensions starting with the first dim."
        )
    if padding:
        last = next(array for array in reversed(arrays) if len(array))
        arrays = [*arrays, np.repeat(last[:1], padding, axis=0)]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _as_wide_as_the_widest(name: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
    ranks = {array.ndim for array in arrays}
    if max(ranks) > _MAX_PADDED_RANK:
        raise InvalidArgumentError("Only tensors with rank from 1 to 6 can be padded.")
    if len(ranks) > 1:
        raise FailedPreconditionError(
            f"Tensors with name '{name}' from different tasks have different ranks."
        )
    widest = tuple(max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True))
    return [_padded(array, widest) for array in arrays]


def _padded(array: np.ndarray, widths: tuple[int, ...]) -> np.ndarray:
    """`array` with dimensions 1 and on grown to `widths`, filled with its very first element."""
    shape = (len(array), *widths)
    if math.prod(shape) == array.size:
        return array.reshape(shape)
    if array.size == 0:
        raise InvalidArgumentError("Got empty tensor in batch of non-empty tensors.")
    padded = np.full(shape, array.flat[0], array.dtype)
    padded[tuple(slice(size) for size in array.shape)] = array
    return padded
