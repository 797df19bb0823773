"""An ASGI app in front of another: who may not ask, is told so and gets no further.

Host: is it ours? -> 421    Authorization: one of the tokens? -> 401    -> the app

Nothing behind it is without a token: the API, the page, the metrics.
"""

import json

from model_server.access.hosts import Hosts, host_of
from model_server.access.tokens import REFUSAL, Tokens
from model_server.asgi import App, Message, Receive, Send

# A caller who still sends would miss the answer if we hung up on it.
_MAX_DROPPED_BYTES = 64 * 2**20
_CHALLENGES = [(b"www-authenticate", b"Bearer"), (b"www-authenticate", b'Basic realm="signs"')]


def guarded(app: App, hosts: Hosts, tokens: Tokens | None) -> App:
    """Lets through to `app` what asks one of the `hosts`, with one of the `tokens` if there are."""

    async def guard(scope: Message, receive: Receive, send: Send) -> None:
        asked = _values(scope, b"host")
        if not all(map(hosts.allow, asked)):
            name = (host_of(asked[0]) or "") if len(asked) == 1 else ""
            return await _refuse(receive, send, 421, _not_ours(name))
        if tokens is not None and not _is_known(scope, tokens):
            return await _refuse(receive, send, 401, REFUSAL, _CHALLENGES)
        return await app(scope, receive, send)

    return guard


def _is_known(scope: Message, tokens: Tokens) -> bool:
    given = _values(scope, b"authorization")
    # What a browser has learned by its prompt it also sends when a stranger's page asks us.
    return len(given) == 1 and tokens.accept(given[0], basic=not _is_from_elsewhere(scope))


def _is_from_elsewhere(scope: Message) -> bool:
    """Whether a browser says that another site's page asks."""
    hosts = {value.lower() for value in _values(scope, b"host")}
    return any(
        origin.lower().partition("://")[2] not in hosts for origin in _values(scope, b"origin")
    )


def _values(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _not_ours(name: str) -> str:
    return (
        f"This server is not {name!r}: ask for its address, or start it with "
        "--rest_allowed_hosts=NAME,..."
    )


async def _refuse(
    receive: Receive,
    send: Send,
    status: int,
    text: str,
    more: list[tuple[bytes, bytes]] | None = None,
) -> None:
    dropped = 0
    while (message := await receive()).get("more_body") and dropped < _MAX_DROPPED_BYTES:
        dropped += len(message.get("body", b""))
    body = json.dumps({"error": text}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *(more or ()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
