"""What a step still does when its pod is told to go; Kubernetes leaves it half a minute."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_ACTIONS: list[Callable[[], object]] = []


@contextmanager
def before_end(action: Callable[[], object]) -> Iterator[None]:
    """Has an action done if the step is ended within the block. It may run in any thread."""
    _ACTIONS.append(action)
    try:
        yield
    finally:
        _ACTIONS.remove(action)


def end() -> None:
    """Does what is to be done, the last first, whatever becomes of it."""
    for action in reversed(_ACTIONS):
        with suppress(Exception):
            action()
