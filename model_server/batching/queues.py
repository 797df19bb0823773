"""Queues of tasks that are cut into batches, and the threads that run them.

    submit(key, request) -> its queue -> open batch -> closed, full or due -> a thread runs it

This is TF Serving's scheduler (TensorFlow's `shared_batch_scheduler.h`). Every key has a queue, in
which new tasks join the last batch, the open one. A batch may be taken once it is closed (a task
that did not fit began the next one), once it is full, or once it is due; what was taken is no
longer in the queue. One lock guards all queues and is held for microseconds; threads sleep until a
batch may be taken.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from model_server.batching.tasks import Request, Task
from model_server.errors import InvalidArgumentError, UnavailableError


@dataclass(frozen=True)
class QueueOptions:
    """How a queue cuts batches.

    Args:
        max_rows: the most rows of a batch.
        max_batches: the most batches that wait, the open one included.
        due: when a batch may be taken that is not full, from the number of its rows and from when
            its first task came; both in seconds of `time.monotonic`.
        split: requests are cut to fill batches; otherwise they stay whole and have at most
            `max_rows` rows.
    """

    max_rows: int
    max_batches: int
    due: Callable[[int, float], float]
    split: bool = False


@dataclass
class _Batch:
    tasks: list[Task] = field(default_factory=list)
    rows: int = 0
    since: float = 0.0  # when its first task came, in seconds of time.monotonic


class _Queue:
    def __init__(self, options: QueueOptions, run: Callable[[list[Task]], None]) -> None:
        self.run = run
        self._options = options
        self._closed: deque[_Batch] = deque()
        self._open = _Batch()

    def due(self) -> float:
        """When its first batch may be taken; infinity where there is none."""
        if self._closed or 0 < self._options.max_rows <= self._open.rows:
            return 0.0
        if not self._open.tasks:
            return float("inf")
        return self._options.due(self._open.rows, self._open.since)

    def take(self) -> list[Task]:
        if self._closed:
            return self._closed.popleft().tasks
        batch, self._open = self._open, _Batch()
        return batch.tasks

    def add(self, request: Request) -> None:
        for task in request.cut(self._sizes(request.rows)):
            if self._open.rows + task.rows > self._options.max_rows:
                self._closed.append(self._open)
                self._open = _Batch()
            if not self._open.tasks:
                self._open.since = time.monotonic()
            self._open.tasks.append(task)
            self._open.rows += task.rows

    def _sizes(self, rows: int) -> list[int]:
        """The rows of each task that a request becomes, if there is room for all of them."""
        options = self._options
        batches = len(self._closed) + 1
        room = options.max_rows - self._open.rows
        full = "The batch scheduling queue to which this task was submitted is full; "
        if not options.split:
            if rows > room and batches >= options.max_batches:
                raise UnavailableError(
                    f"{full}currently {batches} batches enqueued and max_enqueued_batches is "
                    f"{options.max_batches}"
                )
            return [rows]
        capacity = (options.max_batches - batches) * options.max_rows + room
        if rows > capacity:
            raise UnavailableError(
                f"{full}task size is {rows} but scheduling capacity is only {capacity} "
                f"(num_enqueued_batches={batches}, max_enqueued_batches={options.max_batches}, "
                f"open_batch_size={self._open.rows}, max_execution_batch_size={options.max_rows})"
            )
        if rows <= room:
            return [rows]
        whole, rest = divmod(rows - room, options.max_rows)
        sizes = [room, *[options.max_rows] * whole, rest]
        return [size for size in sizes if size]


class BatchingPool:
    """The threads that run the batches of all models.

    Args:
        threads: how many batches may run at the same time.

    Raises:
        InvalidArgumentError: none may.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise InvalidArgumentError(f"num_batch_threads must be positive; was {threads}")
        self.threads = threads
        self._running = 0
        self._changed = threading.Condition()
        # Only those with tasks in them, in the order in which they have their turns.
        self._queues: OrderedDict[Hashable, _Queue] = OrderedDict()
        self._closed = False
        self._workers = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._workers:
            thread.start()

    def submit(
        self,
        key: Hashable,
        options: QueueOptions,
        run: Callable[[list[Task]], None],
        request: Request,
    ) -> None:
        """Puts a request into the queue of `key`; runs it now if nothing is to be waited for.

        Args:
            key: what may share a batch; always with the same `options` and a like `run`.
            options: how the queue cuts batches.
            run: is called with the tasks of a batch, in one of the pool's threads or in this one;
                raises nothing.
            request: what to put there.

        Raises:
            UnavailableError: the queue is full, or the pool is closed.
        """
        with self._changed:
            if self._closed:
                raise UnavailableError("The server is stopping")
            is_new = key not in self._queues
            queue = self._queues.get(key) or _Queue(options, run)
            queue.add(request)
            self._queues[key] = queue
            is_due = queue.due() <= time.monotonic()
            if is_due and self._running < self.threads and len(self._queues) == 1:
                tasks = self._taken(key)[1]
            else:
                tasks = []
                # Of others the threads know: who wakes for nothing takes time from who answers.
                if is_new or is_due:
                    self._changed.notify()
        if tasks:
            self._run(run, tasks)

    def close(self, timeout_s: float = 2.0) -> bool:
        """Ends the threads once all queues are empty; False if `timeout_s` seconds were too few."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        deadline = time.monotonic() + timeout_s
        for thread in self._workers:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._workers)

    def _work(self) -> None:
        while (taken := self._next_batch()) is not None:
            self._run(*taken)

    def _run(self, run: Callable[[list[Task]], None], tasks: list[Task]) -> None:
        try:
            run(tasks)
        finally:
            with self._changed:
                self._running -= 1
                if self._queues:
                    self._changed.notify()

    def _next_batch(self) -> tuple[Callable[[list[Task]], None], list[Task]] | None:
        """Waits for a batch; None when the pool is closed and nothing is left to do."""
        with self._changed:
            while self._queues or not self._closed:
                if self._running >= self.threads:
                    self._changed.wait()
                    continue
                now = time.monotonic()
                due = {key: queue.due() for key, queue in self._queues.items()}
                key = next((key for key, when in due.items() if when <= now), None)
                if key is not None:
                    return self._taken(key)
                self._changed.wait(min(due.values()) - now if due else None)
            return None

    def _taken(self, key: Hashable) -> tuple[Callable[[list[Task]], None], list[Task]]:
        self._running += 1
        queue = self._queues.pop(key)
        tasks = queue.take()
        if queue.due() < float("inf"):
            self._queues[key] = queue  # at the end: the other queues come first
        if self._queues:
            # This thread is busy now, and no other may know when the next batch is due.
            self._changed.notify()
        return queue.run, tasks
