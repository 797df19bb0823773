"""TensorFlow without Keras: a session needs none, and the import takes half the time.

with without_keras():
    import tensorflow as tf  # 1.9 s of one core, where it is 3.5 with Keras
"""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

_KERAS = ("keras", "tf_keras")  # of which TensorFlow imports one, if it is there


@contextlib.contextmanager
def without_keras() -> Iterator[None]:
    """Hides Keras within the block; afterwards, who needs it can import it."""
    hidden = [name for name in _KERAS if name not in sys.modules]
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    modules.update(dict.fromkeys(hidden))  # Python's way to say that there is none
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
