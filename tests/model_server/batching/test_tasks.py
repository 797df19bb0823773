"""A request cut into tasks, and what its caller gets of them."""

import numpy as np
import pytest

from model_server.batching.tasks import Request
from model_server.errors import InternalError, UnavailableError


def finish(task, outputs=None, error=None):
    task.outputs = outputs or {}
    task.error = error
    task.done.set()


def test_tasks_share_the_rows_in_order():
    request = Request({"x:0": np.arange(5)}, 5, deadline=7.0)
    tasks = request.cut([2, 3])
    assert [task.feeds["x:0"].tolist() for task in tasks] == [[0, 1], [2, 3, 4]]
    assert [(task.rows, task.deadline) for task in tasks] == [(2, 7.0), (3, 7.0)]
    for task in tasks:
        finish(task, {"y:0": task.feeds["x:0"] + 1})
    assert request.wait()["y:0"].tolist() == [1, 2, 3, 4, 5]


def test_the_first_error_is_the_callers():
    request = Request({"x:0": np.arange(3)}, 3, None)
    first, second, third = request.cut([1, 1, 1])
    finish(first)
    finish(second, error=UnavailableError("second"))
    finish(third, error=UnavailableError("third"))
    with pytest.raises(UnavailableError, match="second"):
        request.wait()


def test_outputs_of_different_widths_cannot_be_joined():
    request = Request({"x:0": np.arange(2)}, 2, None)
    first, second = request.cut([1, 1])
    finish(first, {"y:0": np.zeros((1, 2))})
    finish(second, {"y:0": np.zeros((1, 3))})
    with pytest.raises(InternalError, match="Tensor concat operation failed"):
        request.wait()
