"""Requests share what there is; who finds no room waits, or is told why not."""

import threading
import time

import pytest

from model_server.admission.budget import Budget
from model_server.errors import InvalidArgumentError, ResourceExhaustedError
from tests.model_server.stand_in import WAIT_S

MIB = 2**20


def test_without_a_limit_there_is_room_for_all():
    with Budget().taken(2**60), Budget().taken(2**60):
        pass


def test_what_never_fits_is_the_requests_own_fault():
    with pytest.raises(InvalidArgumentError) as refused, Budget(10 * MIB, "runs").taken(11 * MIB):
        pass
    assert str(refused.value) == (
        "The request would take 11 MiB of memory; runs may take 10 MiB together "
        "(--request_memory_mib): send fewer or smaller inputs"
    )


def test_what_finds_no_room_in_time_is_told_to_try_again():
    budget = Budget(10 * MIB, "messages")
    with (
        budget.taken(6 * MIB),
        budget.taken(4 * MIB),
        pytest.raises(ResourceExhaustedError) as refused,
        budget.taken(1 * MIB, time.monotonic() + 0.01),
    ):
        pass
    assert str(refused.value) == (
        "The request would take 1 MiB of memory; of the 10 MiB for messages "
        "(--request_memory_mib) too much is in use: try again"
    )
    with budget.taken(10 * MIB):  # all of it was given back
        pass


def test_it_is_given_back_after_an_error_too():
    budget = Budget(10)
    for _ in range(3):
        with pytest.raises(RuntimeError), budget.taken(10):
            raise RuntimeError


def test_who_waits_goes_on_when_there_is_room_and_in_turn():
    budget, order = Budget(10), []

    def ask(cost: int) -> None:
        with budget.taken(cost):
            order.append(cost)

    with budget.taken(5):
        large = threading.Thread(target=ask, args=[10])
        large.start()
        give_up = time.monotonic() + WAIT_S
        while not budget._door.locked():
            assert time.monotonic() < give_up
        small = threading.Thread(target=ask, args=[1])
        small.start()
        small.join(0.05)
        assert order == []  # there is room for it, but it was not the first
    for thread in (large, small):
        thread.join(WAIT_S)
    assert order == [10, 1]


def test_many_at_once_never_take_more_than_there_is():
    budget, lock = Budget(10), threading.Lock()
    now = most = 0

    def ask(cost: int) -> None:
        nonlocal now, most
        for _ in range(50):
            with budget.taken(cost):
                with lock:
                    now += cost
                    most = max(most, now)
                with lock:
                    now -= cost

    threads = [threading.Thread(target=ask, args=[1 + number % 6]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert now == 0
    assert 6 <= most <= 10
