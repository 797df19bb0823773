"""What goes wrong between us and KFP's API server, each in one line that says what to do.

kfp_server_api.ApiException, urllib3's errors -> explained -> ApiError
"""

import contextlib
import json
from collections.abc import Iterator

import kfp_server_api
import urllib3

from kubeflow.submitting.connection import Connection
from signs.errors import UserError

# Statuses that pass: too many requests, and what a proxy says while a server restarts.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


class ApiError(UserError):
    """The API server did not do what it was asked. `passing`: it may a little later."""

    def __init__(self, text: str, *, status: int | None = None, passing: bool = False) -> None:
        super().__init__(text)
        self.status = status  # of HTTP; None where nobody answered
        self.passing = passing


@contextlib.contextmanager
def explained(action: str, connection: Connection) -> Iterator[None]:
    """Turns what goes wrong with a request into an ApiError: "cannot {action}: why, what to do"."""
    try:
        yield
    except kfp_server_api.ApiException as err:
        status = err.status or None
        reason = _refusal(err, connection) if status else one_line(err.reason)
        raise ApiError(
            f"cannot {action}: {reason}", status=status, passing=status in _PASSING
        ) from err
    except urllib3.exceptions.HTTPError as err:
        raise ApiError(
            f"cannot {action}: {_unreachable(err, connection)}", passing=not _is_tls(err)
        ) from err


def _refusal(err: kfp_server_api.ApiException, connection: Connection) -> str:
    message = _message(err.body)
    said = f": {message}" if message else ""
    match err.status:
        case 401:
            return f"{connection.place} wants a valid token (401){said}: give --token-file"
        case 403:
            whose = f" in namespace {connection.namespace}" if connection.namespace else ""
            return f"the token's owner may not do that{whose} (403){said}"
        case 404 if not message:
            return f"{connection.place} has no KFP API v2 (404): is --host right?"
        case 409:
            return f"the name is taken (409){said}"
        case _:
            return f"the server says {err.status} {one_line(err.reason)}{said}"


def _message(body: str | bytes | None) -> str:
    """What an answer says: gRPC gateway's status, the upload server's error, or plain text.

    A status's own message is the chain of causes; its details hold the sentence meant for users
    (`UserError.GRPCStatus` in backend/src/common/util/error.go).
    """
    text = text_of(body or "")
    try:
        status = json.loads(text)
    except ValueError:
        status = None
    if isinstance(status, dict):
        details = [d for d in status.get("details") or () if isinstance(d, dict)]
        found = [d.get("message") for d in details]
        found += [status.get(key) for key in ("message", "error_message", "error")]
        text = next((str(words) for words in found if words), "")
    elif text.lstrip().startswith("<"):
        return "a web page"
    return one_line(text)


def text_of(body: str | bytes) -> str:
    """An answer's body as text."""
    return body.decode(errors="replace") if isinstance(body, bytes) else body


def _unreachable(err: Exception, connection: Connection) -> str:
    where = connection.place
    cause = err.reason if isinstance(err, urllib3.exceptions.MaxRetryError) else err
    match cause:
        case urllib3.exceptions.NameResolutionError():
            return f"{where}: no such host"
        case urllib3.exceptions.NewConnectionError():
            why = str(cause).rpartition("] ")[2]
            return f"{where}: {one_line(why)}. Does the port-forward run?"
        case urllib3.exceptions.ConnectTimeoutError() | urllib3.exceptions.ReadTimeoutError():
            return f"{where} does not answer"
        case urllib3.exceptions.SSLError():
            return f"{where}: {one_line(cause)}. Trust the server's certificate with --ca FILE"
        case _:
            return f"{where}: {one_line(cause)}"


def _is_tls(err: Exception) -> bool:
    return isinstance(getattr(err, "reason", err), urllib3.exceptions.SSLError)


def one_line(words: object) -> str:
    """Printable words, on one line of a length that can be read."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())
    return line if len(line) <= 400 else line[:397] + "..."
