"""The client of a model server, and what all of the project stands on; no TensorFlow.

    from signs import Client

The client is imported when it is first named: `import signs` itself costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signs.client import (
        AsyncClient,
        Client,
        ClientError,
        Metadata,
        Prediction,
        Signature,
        TensorInfo,
        Tls,
        Unanswered,
        VersionStatus,
    )

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Metadata",
    "Prediction",
    "Signature",
    "TensorInfo",
    "Tls",
    "Unanswered",
    "VersionStatus",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from signs import client

    return getattr(client, name)
