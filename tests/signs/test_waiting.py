"""The two ways to wait."""

import asyncio
import threading
import time

import pytest

from signs.waiting import BLOCKING, ON_LOOP, at_once


def test_a_blocking_coroutine_needs_no_loop():
    async def both() -> list[str]:
        await BLOCKING.pause(0)
        return await BLOCKING.each(lambda word: BLOCKING.work(str.upper, word), ["a", "b"], 2)

    async def within_a_loop() -> list[str]:
        return at_once(both())

    assert at_once(both()) == asyncio.run(within_a_loop()) == ["A", "B"]


def test_a_coroutine_that_waits_is_refused():
    coroutine = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="a coroutine waited that must not"):
        at_once(coroutine)
    coroutine.close()


def test_work_does_not_hold_up_the_loop():
    async def main() -> int:
        release, turns = threading.Event(), 0
        work = asyncio.ensure_future(ON_LOOP.work(release.wait, 30))
        while turns < 3:
            await ON_LOOP.pause(0)
            turns += 1
        release.set()
        assert await work
        return turns

    assert asyncio.run(main()) == 3


@pytest.mark.parametrize("at_most", [1, 3, 100])
def test_so_many_at_the_same_time_and_in_order(at_most):
    running, most = 0, 0

    async def ask(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (10 - number))  # the first answers last
        running -= 1
        return number

    assert asyncio.run(ON_LOOP.each(ask, range(10), at_most)) == list(range(10))
    assert most == min(at_most, 10)


def test_the_first_that_fails_ends_the_others():
    ended = []

    async def ask(number: int) -> None:
        if number == 2:
            raise ValueError("two")
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(number)

    async def main() -> None:
        with pytest.raises(ValueError, match="two"):
            await ON_LOOP.each(ask, range(4), 4)
        assert sorted(ended) == [0, 1, 3]

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 5
