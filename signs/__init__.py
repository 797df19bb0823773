"""The client of a model server, and what all of the project stands on; no TensorFlow.

    from signs import Client

What is named here is imported when it is first used: `import signs` itself costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signs.answers import Metadata, Prediction, Signature, TensorInfo, VersionStatus
    from signs.client import AsyncClient, Client
    from signs.errors import UserError
    from signs.transports.transport import ClientError, Tls

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Metadata",
    "Prediction",
    "Signature",
    "TensorInfo",
    "Tls",
    "UserError",
    "VersionStatus",
]
_HOMES = {
    "signs.answers": ("Metadata", "Prediction", "Signature", "TensorInfo", "VersionStatus"),
    "signs.client": ("AsyncClient", "Client"),
    "signs.errors": ("UserError",),
    "signs.transports.transport": ("ClientError", "Tls"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
