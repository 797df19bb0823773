"""Queues and their threads, without a model: when a batch is due, and what a full queue says."""

import threading

import numpy as np
import pytest

from model_server.batching.queues import BatchingPool, QueueOptions
from model_server.batching.tasks import Request
from model_server.errors import InvalidArgumentError, UnavailableError

WAIT_S = 10


@pytest.fixture
def pool():
    pool = BatchingPool(threads=1)
    yield pool
    assert pool.close(WAIT_S)


def long(rows, since):
    return since + 1000.0


class Runs:
    """Notes the rows of each batch that ran, and in which thread; `may_end` holds it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: list[str] = []
        self.started = threading.Event()
        self.may_end = threading.Event()

    def run(self, tasks):
        self.started.set()
        assert self.may_end.wait(WAIT_S)
        self.threads.append(threading.current_thread().name)
        self.batches.append([task.rows for task in tasks])
        for task in tasks:
            task.done.set()


def request(rows):
    return Request({"x:0": np.zeros(rows)}, rows, None)


def submit(pool, runs, options, *sizes):
    requests = [request(rows) for rows in sizes]
    for each in requests:
        pool.submit("key", options, runs.run, each)
    return requests


def test_a_batch_is_taken_when_it_is_full_or_closed(pool):
    runs = Runs()
    runs.may_end.set()
    options = QueueOptions(max_rows=4, max_batches=10, due=long)
    requests = submit(pool, runs, options, 3, 2, 2)  # 2 do not fit beside 3; 2 and 2 are full
    for each in requests:
        each.wait()
    assert runs.batches == [[3], [2, 2]]


def test_a_batch_is_taken_when_its_first_task_has_waited(pool):
    runs = Runs()
    runs.may_end.set()
    (only,) = submit(pool, runs, QueueOptions(100, 10, lambda rows, since: since + 0.01), 1)
    only.wait()
    assert runs.batches == [[1]]


def test_large_requests_are_split_to_fill_batches(pool):
    runs = Runs()
    runs.may_end.set()
    options = QueueOptions(max_rows=4, max_batches=10, due=long, split=True)
    requests = submit(pool, runs, options, 3, 9)
    for each in requests:
        each.wait()
    assert runs.batches == [[3, 1], [4], [4]]


def test_a_full_queue_refuses(pool):
    runs = Runs()
    options = QueueOptions(max_rows=1, max_batches=2, due=long)
    first = threading.Thread(target=submit, args=(pool, runs, options, 1))
    first.start()
    assert runs.started.wait(WAIT_S)  # one runs, which is all that may, and waits no more
    try:
        submit(pool, runs, options, 1, 1)
        with pytest.raises(UnavailableError, match="currently 2 batches enqueued"):
            submit(pool, runs, options, 1)
    finally:
        runs.may_end.set()
        first.join(WAIT_S)


def test_who_need_not_wait_runs_the_batch_itself(pool):
    runs = Runs()
    runs.may_end.set()
    submit(pool, runs, QueueOptions(100, 10, lambda rows, since: since), 1)
    assert runs.threads == [threading.current_thread().name]


def test_no_more_batches_run_than_there_are_threads(pool):
    runs = Runs()
    options = QueueOptions(100, 10, lambda rows, since: since)
    first = threading.Thread(target=submit, args=(pool, runs, options, 1), name="first")
    first.start()
    assert runs.started.wait(WAIT_S)
    second, third = submit(pool, runs, options, 2, 3)  # at once: the pool's thread has them
    assert not second._tasks[0].done.wait(0.2)
    runs.may_end.set()
    second.wait()
    third.wait()
    first.join(WAIT_S)
    assert (runs.batches, runs.threads) == ([[1], [2, 3]], ["first", "batch-0"])


def test_a_closed_pool_refuses():
    pool = BatchingPool(threads=2)
    assert pool.close(WAIT_S)
    with pytest.raises(UnavailableError, match="stopping"):
        pool.submit("key", QueueOptions(1, 1, long), list.clear, request(1))


def test_a_pool_has_threads():
    with pytest.raises(InvalidArgumentError, match="must be positive; was 0"):
        BatchingPool(0)
