"""Imports of a million objects, without a search for garbage among them again and again.

    with heavy_imports():
        import tensorflow as tf

Python's collector looks at all that there is each time that it has grown by a quarter: TensorFlow
and TFX take 6.1 s of one core with it, and 4.4 s without.
"""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def heavy_imports() -> Iterator[None]:
    """Collects once, at the end of the block; what is there by then is never looked at again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.collect()
    gc.freeze()
