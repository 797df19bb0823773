"""Keeps out of a notebook what libraries say that is of no use to its reader."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from IPython.utils.capture import capture_output


@contextmanager
def quiet() -> Iterator[None]:
    """Swallows what is printed, displayed and logged within; errors are raised as ever.

    TensorFlow tells of its build when it is imported, in lines that its own log level does not
    reach: they are written by C++ before that is read. Beam, in a notebook, loads JavaScript.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with capture_output():
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
