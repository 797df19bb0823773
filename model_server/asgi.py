"""The types of ASGI, the interface between an HTTP server and an app: the REST API, the page."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

# What a message holds depends on its "type": https://asgi.readthedocs.io.
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]
