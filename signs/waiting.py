"""How a client waits: with its thread, or on asyncio's event loop.

What a client does is written once, as coroutines (`signs.conversation`). With `Blocking` they never
give up control, so `at_once` runs them to their end without a loop.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Waiting(Protocol):
    """What takes time."""

    async def pause(self, seconds: float) -> None:
        """Waits so long."""

    async def work(self, function: Callable[..., _Answer], *arguments: Any) -> _Answer:
        """Calls a function that blocks."""

    async def each(
        self, ask: Callable[[_Item], Awaitable[_Answer]], items: Sequence[_Item], at_most: int
    ) -> list[_Answer]:
        """Asks for every item, `at_most` at the same time; answers are in the items' order.

        The first that fails ends all.
        """


class Blocking(Waiting):
    """The thread waits; one thing is done after the other."""

    async def pause(self, seconds: float) -> None:
        """See `Waiting`."""
        time.sleep(seconds)

    async def work(self, function: Callable[..., _Answer], *arguments: Any) -> _Answer:
        """See `Waiting`."""
        return function(*arguments)

    async def each(
        self, ask: Callable[[_Item], Awaitable[_Answer]], items: Sequence[_Item], at_most: int
    ) -> list[_Answer]:
        """See `Waiting`."""
        return [await ask(item) for item in items]


class OnLoop(Waiting):
    """The event loop goes on; what blocks runs in a thread of its pool."""

    async def pause(self, seconds: float) -> None:
        """See `Waiting`."""
        await asyncio.sleep(seconds)

    async def work(self, function: Callable[..., _Answer], *arguments: Any) -> _Answer:
        """See `Waiting`."""
        return await asyncio.to_thread(function, *arguments)

    async def each(
        self, ask: Callable[[_Item], Awaitable[_Answer]], items: Sequence[_Item], at_most: int
    ) -> list[_Answer]:
        """See `Waiting`."""
        free = asyncio.Semaphore(at_most)

        async def ask_one(item: _Item) -> _Answer:
            async with free:
                return await ask(item)

        tasks = [asyncio.ensure_future(ask_one(item)) for item in items]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # nothing goes on behind our back


BLOCKING, ON_LOOP = Blocking(), OnLoop()


def at_once(coroutine: Coroutine[Any, Any, _Answer]) -> _Answer:
    """Runs a coroutine that waits by `Blocking` alone; a running event loop is not disturbed."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a coroutine waited that must not")
