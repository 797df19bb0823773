"""Rows of several requests as one batch: literal arrays."""

import numpy as np
import pytest

from model_server.batching.batch_rows import count, merged
from model_server.errors import FailedPreconditionError, InvalidArgumentError


def rows(*values):
    return np.array(values, np.float32)


def test_count():
    assert count({"a": np.zeros((3, 2)), "b": np.zeros(3)}) == 3
    assert count({"a": np.zeros((0, 2))}) == 0


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({}, "must have at least one input tensor"),
        ({"a": np.zeros(())}, "must have at least one dimension"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "must have equal 0th-dimension size"),
    ],
)
def test_what_cannot_be_counted(feeds, text):
    with pytest.raises(InvalidArgumentError, match=text):
        count(feeds)


def test_rows_come_in_order_and_the_last_tasks_first_row_fills():
    batch = merged("x:0", [rows(1, 2), rows(3, 4)], padding=2, pads=False)
    assert batch.tolist() == [1, 2, 3, 4, 3, 3]
    # A task without rows has none to repeat.
    assert merged("x:0", [rows(1, 2), rows()], padding=1, pads=False).tolist() == [1, 2, 1]


def test_one_task_is_not_copied():
    alone = rows(1, 2)
    assert merged("x:0", [alone], padding=0, pads=False) is alone


def test_rows_are_made_as_wide_as_the_widest():
    batch = merged("x:0", [rows([1, 2, 3]), rows([4], [5])], padding=0, pads=True)
    # What is missing is the array's very first element.
    assert batch.tolist() == [[1, 2, 3], [4, 4, 4], [5, 4, 4]]


@pytest.mark.parametrize(
    ("arrays", "pads", "error", "text"),
    [
        ([rows([1]), rows([1, 2])], False, FailedPreconditionError, "different shapes"),
        ([rows([1]), rows(1)], True, FailedPreconditionError, "different ranks"),
        ([np.zeros((1,) * 7)], True, InvalidArgumentError, "rank from 1 to 6"),
        ([rows([1]), np.zeros((1, 0))], True, InvalidArgumentError, "Got empty tensor"),
    ],
)
def test_what_cannot_be_merged(arrays, pads, error, text):
    with pytest.raises(error, match=text):
        merged("x:0", arrays, padding=0, pads=pads)
