"""How long batches wait: for those who were here lately, and for nobody else."""

import threading
import time

import numpy as np
import pytest
from google.protobuf import text_format

from model_server.batching.batched_model import BatchedModel
from model_server.batching.queues import BatchingPool
from model_server.batching.window import Window
from model_server.configs.protos import BatchingParameters

WAIT_S = 10
RUN_S = 0.06


class Crowd:
    """A window, whom it is told of, and a clock that stands still unless it is set."""

    def __init__(self, threads: int = 2, timeout_s: float | None = None) -> None:
        self.now = 100.0
        self.window = Window(16, threads, timeout_s, lambda: self.now)

    def come(self, rows: int) -> list[float]:
        """Seconds that an open batch would wait still, after each row that comes to it."""
        waits = []
        for row in range(1, rows + 1):
            self.window.came(1)
            waits.append(self.wait_s(row))
        return waits

    def wait_s(self, rows: int) -> float:
        return round(self.window.due(rows, self.now) - self.now, 6)

    def answer(self, rows: int, run_s: float | None = 0.1) -> None:
        self.window.taken(rows)
        self.window.left(rows, run_s)


def test_who_was_never_seen_is_not_waited_for():
    assert Crowd().come(3) == [0, 0, 0]


def test_a_lone_client_never_waits():
    lone = Crowd()
    for _ in range(3):
        assert lone.come(1) == [0]
        lone.answer(1)


def test_each_thread_waits_for_its_share_of_those_who_were_here():
    crowd = Crowd(threads=2)
    crowd.come(8)
    crowd.answer(4)  # the other four are still running
    assert crowd.come(4) == [0.05, 0.05, 0.05, 0]


def test_all_who_were_here_are_enough_though_they_are_less_than_a_share():
    crowd = Crowd(threads=2)
    crowd.come(5)
    crowd.answer(2)  # three are running, which is more than half
    assert crowd.come(2) == [0.05, 0]


def test_no_share_is_more_than_a_batch_holds():
    crowd = Crowd(threads=2)
    crowd.come(128)
    crowd.answer(16)
    assert crowd.wait_s(15) == 0.05
    assert crowd.wait_s(16) == 0


def test_who_does_not_come_back_is_forgotten_in_a_few_batches():
    left = Crowd(threads=1)
    left.come(9)
    left.answer(9)
    waited = []
    for _ in range(5):
        waited.append(left.come(1))
        left.answer(1)
    assert waited == [[0.05], [0.05], [0.05], [0.05], [0]]  # for nine, five, three, two, one


def test_fewer_clients_than_before_are_shared_out_among_the_threads_again():
    """Eight that come together after sixteen are a batch for one thread, and should be for two."""
    crowd = Crowd(threads=2)
    shares = []
    for clients in (16, 8, 8, 8, 8, 8):
        share = 0
        while share == 0 or crowd.wait_s(share):
            crowd.window.came(1)
            share += 1
        shares.append(share)
        crowd.window.taken(share)
        if rest := clients - share:
            crowd.window.came(rest)
            crowd.window.taken(rest)
            crowd.window.left(rest, 0.1)
        crowd.window.left(share, 0.1)
    assert shares == [1, 8, 6, 4, 4, 4]


def test_the_wait_begins_when_the_last_were_answered():
    """Not when the first came: it may have come while all threads were busy."""
    crowd = Crowd(threads=1)
    crowd.come(4)
    crowd.answer(3)
    crowd.now += 0.03
    assert crowd.window.due(2, since=90.0) == pytest.approx(100.05)
    crowd.now += 0.03
    assert crowd.window.due(2, since=100.06) == pytest.approx(100.11)


def test_it_waits_half_of_a_run_that_succeeded_and_a_tenth_of_a_second_at_most():
    crowd = Crowd(threads=1)
    crowd.come(4)
    assert crowd.wait_s(1) == 0  # nothing has run yet
    crowd.window.left(1, 0.02)
    assert crowd.wait_s(1) == 0.01
    crowd.window.left(1)  # it failed at once, which tells nothing
    assert crowd.wait_s(1) == 0.01
    crowd.window.left(1, 9.0)
    assert crowd.wait_s(1) == 0.1


def test_a_timeout_that_is_set_is_kept():
    fixed = Crowd(timeout_s=0.003)
    assert fixed.come(3) == [0.003] * 3
    fixed.answer(3)
    assert fixed.window.due(99, since=90.0) == 90.003


class Clients:
    """Clients in a closed loop with a model whose runs take `RUN_S`, however many rows they have.

    Like a real server's clients they are not back at the same moment.
    """

    signature_defs: dict = {}  # noqa: RUF012

    def __init__(self, number: int, text: str, runs: int) -> None:
        self.batches: list[int] = []
        self.latencies_s: list[float] = []
        self._to_do = runs
        self._pool = BatchingPool(2)
        self._model = BatchedModel(self, text_format.Parse(text, BatchingParameters()), self._pool)
        threads = [
            threading.Thread(target=self._ask, args=[0.0005 * place]) for place in range(number)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        assert self._pool.close(WAIT_S)

    def run(self, feeds, fetches, deadline=None):
        self.batches.append(len(feeds["x:0"]))
        time.sleep(RUN_S)
        return [feeds["x:0"]]

    def close(self):
        pass

    def _ask(self, pause_s: float) -> None:
        while len(self.batches) < self._to_do:
            time.sleep(pause_s)
            started = time.monotonic()
            self._model.run({"x:0": np.ones(1)}, ["y:0"])
            self.latencies_s.append(time.monotonic() - started)

    @property
    def settled(self) -> list[int]:
        """The batches of the second half of the runs, when all have come."""
        return self.batches[self._to_do // 2 : self._to_do]


# Medians: a busy machine may hold up a run, and with it the clients of one batch.


@pytest.mark.parametrize(("clients", "share"), [(32, 16), (12, 6)])
def test_batches_fill_under_load(clients, share):
    asked = Clients(clients, "max_batch_size { value: 16 }", 20)
    assert np.median(asked.settled) > 0.85 * share


def test_without_a_window_they_do_not():
    no_wait = "max_batch_size { value: 16 } batch_timeout_micros { value: 0 }"
    assert np.mean(Clients(32, no_wait, 20).settled) < 0.8 * 16


def test_an_idle_servers_client_waits_for_its_run_alone():
    lone = Clients(1, "max_batch_size { value: 16 }", 10)
    assert lone.batches == [1] * 10
    assert np.median(lone.latencies_s) < 1.3 * RUN_S  # it would wait half a run, if it did
