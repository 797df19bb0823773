"""TF Serving's messages and stubs, without TensorFlow: `protos.PredictRequest`, `protos.Example`.

`make protos` writes `descriptors.binpb`, which says what there is, and `__init__.pyi` for type
checkers. TensorFlow's own classes, if it is imported too, are others. A message goes from one to
the other by its bytes: `protos.TensorProto.FromString(theirs.SerializeToString())`.
"""

from typing import Any

from google.protobuf.message import Message

from signs.protos import pool

__all__ = ["Message"]


def __getattr__(name: str) -> Any:
    """A message class, an enum or a service's stub, by its name within its package."""
    found = pool.find(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found  # next time it is simply there
    return found
