"""A request that is to be batched, and the tasks that it is cut into."""

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np

from model_server import tracing
from model_server.errors import InternalError, RequestError

Arrays = Mapping[str, np.ndarray]


class Task:
    """Rows of a request that are in the same batch: all of them, unless it was split.

    Who runs the batch fills `outputs` or `error`, and sets `done`.
    """

    def __init__(self, feeds: Arrays, rows: int, deadline: float | None) -> None:
        self.feeds = feeds
        self.rows = rows
        self.deadline = deadline
        self.queued_at = time.monotonic()
        self.taken_at = self.queued_at
        self.batch_rows = rows  # of the batch that it ran in
        self.done = threading.Event()
        self.outputs: Arrays = {}
        self.error: RequestError | None = None


class Request:
    """The caller's end of its tasks."""

    def __init__(self, feeds: Arrays, rows: int, deadline: float | None) -> None:
        self.rows = rows
        self._feeds = feeds
        self._deadline = deadline
        self._tasks: list[Task] = []

    def cut(self, sizes: Sequence[int]) -> Sequence[Task]:
        """Makes a task of each of `sizes` rows, which are all its rows in their order."""
        start = 0
        for size in sizes:
            feeds = {name: array[start : start + size] for name, array in self._feeds.items()}
            self._tasks.append(Task(feeds, size, self._deadline))
            start += size
        return self._tasks

    def _trace(self) -> None:
        """Tells the request's span how long its tasks waited and ran; all of them are done."""
        now = time.monotonic()
        for task in self._tasks:
            tracing.add_part("queue", task.queued_at, task.taken_at)
            tracing.add_part("run", task.taken_at, now, {"batch.rows": task.batch_rows})

    def wait(self) -> Arrays:
        """The outputs of all its tasks, in their order; the first error if there was one."""
        for task in self._tasks:
            task.done.wait()
        self._trace()
        for task in self._tasks:
            if task.error is not None:
                raise task.error
        if len(self._tasks) == 1:
            return self._tasks[0].outputs
        try:
            return {
                name: np.concatenate([task.outputs[name] for task in self._tasks])
                for name in self._tasks[0].outputs
            }
        except ValueError as error:  # padded to another width in each batch
            raise InternalError(f"Tensor concat operation failed: {error}") from error
