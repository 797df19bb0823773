"""Dynamic batching: the runs of many requests become one run of the model.

    run(feeds, fetches) -> checks -> queue -> merge rows -> model.run -> split rows -> each its own
                             ^                    ^            |
                             window: how long?    +-- halves --+ an error

What may share a batch: the same tensors, by name and type, in and out - whichever RPC or signature
they come from. The checks, their order and their words are those of TF Serving's
`batching_session.cc`, `batching_util.cc` and `bundle_factory_util.cc`.
"""

import functools
import logging
import math
import time
from collections.abc import Mapping, Sequence

import grpc
import numpy as np
from google.protobuf.message import Message

from model_server.batching import batch_rows
from model_server.batching.queues import BatchingPool, QueueOptions
from model_server.batching.tasks import Request, Task
from model_server.batching.window import Window
from model_server.errors import (
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    ModelError,
    RequestError,
    ResourceExhaustedError,
    UnavailableError,
)
from model_server.metrics import Metrics
from model_server.servable import Servable

log = logging.getLogger(__name__)

_DEFAULT_MAX_BATCH_SIZE = 1000
_DEFAULT_MAX_ENQUEUED_BATCHES = 10
# Errors that no other split of the batch would change: time is over, or the session is closed.
_OF_THE_WHOLE = (
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNAVAILABLE,
)


class BatchedModel:
    """A servable whose runs go through batches.

    Args:
        model: the servable; closed with this one, and if the parameters are refused.
        parameters: a BatchingParameters message.
        pool: the threads that run the batches.
        metrics: where sizes and waiting times go.

    Raises:
        InvalidArgumentError: the parameters contradict each other.
    """

    def __init__(
        self,
        model: Servable,
        parameters: Message,
        pool: BatchingPool,
        metrics: Metrics | None = None,
    ) -> None:
        self._model = model
        self._pool = pool
        self._metrics = metrics or Metrics()
        try:
            self._max_rows, self._window, self._queue_options = _limits(parameters, pool.threads)
        except InvalidArgumentError:
            model.close()
            raise
        self._allowed_sizes = tuple(parameters.allowed_batch_sizes)
        self._pads = parameters.pad_variable_length_inputs
        self.signature_defs = model.signature_defs

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        deadline: float | None = None,
    ) -> list[np.ndarray]:
        """Computes tensors of the graph, together with those of other callers.

        Args:
            feeds: an array for each tensor that is fed, all with the same number of rows.
            fetches: names of the tensors to compute, which have a row for each one that is fed.
            deadline: when the caller stops waiting, in seconds of `time.monotonic`. A batch of
                which all callers have gone is not run.

        Returns:
            One array for each name in `fetches`, in that order.

        Raises:
            RequestError: with TF Serving's status and text.
        """
        rows = batch_rows.count(feeds)
        for _ in feeds:
            self._metrics.batch_input(rows)
        if rows > self._max_rows:
            raise InvalidArgumentError(
                f"Task size {rows} is larger than maximum input batch size {self._max_rows}"
            )
        fetched = tuple(sorted(set(fetches)))
        # Types are part of it so that a wrong one fails nobody else's request.
        fed = frozenset((name, array.dtype) for name, array in feeds.items())
        request = Request(feeds, rows, deadline)
        self._window.came(rows)
        try:
            self._pool.submit(
                (self, fed, fetched),
                self._queue_options,
                functools.partial(self._run_batch, fetched),
                request,
            )
        except UnavailableError:
            self._window.left(rows)
            raise
        outputs = request.wait()
        return [outputs[name] for name in fetches]

    def close(self) -> None:
        """Frees the model. No `run` may be in progress."""
        self._model.close()

    def _run_batch(self, fetches: tuple[str, ...], tasks: list[Task]) -> None:
        self._window.taken(sum(task.rows for task in tasks))
        now = time.monotonic()
        rows = sum(task.rows for task in tasks)
        for task in tasks:
            task.taken_at, task.batch_rows = now, rows
            self._metrics.batch_task_taken(now - task.queued_at)
        self._finish(tasks, fetches)

    def _finish(self, tasks: list[Task], fetches: tuple[str, ...]) -> None:
        """Hands each task its rows, or its error.

        What one request's content causes is nobody else's error: the tasks run again, half of them
        at a time, until whoever caused it is alone. No row of n tasks runs more than 1 + log2(n)
        times, and none runs again after it succeeded. (TF Serving fails the whole batch.)
        """
        run_s = None
        try:
            started = time.monotonic()
            self._answer(tasks, fetches)
            run_s = time.monotonic() - started
        except RequestError as error:
            if len(tasks) > 1 and error.code not in _OF_THE_WHOLE:
                half = len(tasks) // 2
                self._finish(tasks[:half], fetches)
                self._finish(tasks[half:], fetches)
                return
            for task in tasks:
                task.error = ModelError(error.code, str(error))
        except Exception:
            log.exception("A batch failed for a reason that is not its callers'")
            for task in tasks:
                task.error = InternalError("Internal error; the server's log says more")
        self._window.left(sum(task.rows for task in tasks), run_s)
        for task in tasks:
            task.done.set()

    def _answer(self, tasks: list[Task], fetches: tuple[str, ...]) -> None:
        """Runs the model once for all tasks."""
        deadline = _latest_deadline(tasks)
        rows = sum(task.rows for task in tasks)
        padding = self._padding(rows)
        self._metrics.batch_made(rows + padding, padding)
        merged = {
            name: batch_rows.merged(name, [task.feeds[name] for task in tasks], padding, self._pads)
            for name in sorted(tasks[0].feeds)
        }
        try:
            results = self._model.run(merged, fetches, deadline)
        finally:
            self._metrics.batch_ran()
        for array in results:
            if array.ndim == 0:
                raise FailedPreconditionError("Batched output tensor has 0 dimensions")
            if len(array) != rows + padding:
                raise FailedPreconditionError(
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                    "dimension sizes of the input tensors"
                )
        start = 0
        for task in tasks:
            rows_of_task = slice(start, start + task.rows)
            task.outputs = {
                name: array[rows_of_task] for name, array in zip(fetches, results, strict=True)
            }
            start += task.rows

    def _padding(self, rows: int) -> int:
        """How many rows to fill in: up to the first allowed size, in the order they are listed."""
        if rows == 0:
            return 0  # there is no row to repeat
        return next((size for size in self._allowed_sizes if size >= rows), rows) - rows


def _latest_deadline(tasks: list[Task]) -> float | None:
    """When the last caller stops waiting; None where one waits for ever.

    Raises:
        ResourceExhaustedError: all have stopped.
    """
    deadlines = [math.inf if task.deadline is None else task.deadline for task in tasks]
    if max(deadlines) <= time.monotonic():
        raise ResourceExhaustedError("Run() timeout exceeded while waiting in batching queue")
    return None if math.inf in deadlines else max(deadlines)


def _limits(parameters: Message, threads: int) -> tuple[int, Window, QueueOptions]:
    """The most rows of a request, how long batches wait, and how they are cut."""

    def size(field: str, default: int) -> int:
        # A size_t: a negative number is so large that it limits nothing.
        value = getattr(parameters, field).value if parameters.HasField(field) else default
        return value % 2**64

    max_rows = size("max_batch_size", _DEFAULT_MAX_BATCH_SIZE)
    allowed = parameters.allowed_batch_sizes
    if allowed and allowed[-1] != max_rows:
        raise InvalidArgumentError(
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
            f"{allowed[-1]}; expected {max_rows}"
        )
    if max_rows == 0:
        raise InvalidArgumentError("input_batch_size_limit must be positive; was 0")
    timeout_s = None  # not said
    if parameters.HasField("batch_timeout_micros"):
        timeout_us = parameters.batch_timeout_micros.value
        if timeout_us < 0:
            raise InvalidArgumentError(
                f"batch_timeout_micros must be non-negative; was {timeout_us}"
            )
        timeout_s = timeout_us / 1e6
    max_batches = size("max_enqueued_batches", _DEFAULT_MAX_ENQUEUED_BATCHES)
    split = parameters.enable_large_batch_splitting.value
    run_rows = max_rows
    if split:
        if max_batches == 0:
            raise InvalidArgumentError("max_enqueued_batches must be positive; was 0")
        # Without either field this is 0, and every request is refused: so is TF Serving's.
        run_rows = size("max_execution_batch_size", parameters.max_batch_size.value)
        if max_rows < run_rows:
            raise InvalidArgumentError(
                "When enable_large_batch_splitting is true, input_batch_size_limit must be greater "
                f"than or equal to max_execution_batch_size.1{max_rows}{run_rows}"
            )
    window = Window(run_rows, threads, timeout_s)
    return max_rows, window, QueueOptions(run_rows, max(1, max_batches), window.due, split)
