"""How KFP's API server is reached: address, token, kubeconfig; and what its errors mean.

Connection -> connect -> kfp.Client, whose every request has a time limit
an answer that is none, a refusal, a server that is not there -> ApiError, in one line
"""

import contextlib
import io
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kfp
import kfp_server_api
import kubernetes
import urllib3
from kfp.client.token_credentials_base import TokenCredentialsBase

from modules.errors import UserError

REQUEST_S = 20.0  # for an answer; a question that changes nothing is asked four times
_INSTALLED_IN = "kubeflow"  # the namespace that KFP's manifests create
# Statuses that pass: too many requests, and what a proxy says while a server restarts.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


class ApiError(UserError):
    """The API server did not do what it was asked. `passing`: it may a little later."""

    def __init__(self, text: str, *, status: int | None = None, passing: bool = False) -> None:
        super().__init__(text)
        self.status = status  # of HTTP; None where nobody answered
        self.passing = passing


@dataclass(frozen=True)
class Connection:
    """Where KFP's API answers, and as whom we ask.

    Args:
        host: as in `http://localhost:8080`; None: the cluster that we run in, else the kubeconfig
            that `kubectl` would take, through the cluster's own proxy.
        context: of the kubeconfig; None: its current one.
        namespace: whose runs they are, where one installation serves several users.
        token_file: holds a bearer token. It is read for every request, since tokens that a cluster
            mounts are replaced every hour.
        token_env: the environment variable that holds one.
        ca: certificates to trust (PEM), in place of the public ones.

    Raises:
        UserError: an address that is none, two tokens, or no token where one should be.
    """

    host: str | None = None
    context: str | None = None
    namespace: str | None = None
    token_file: Path | None = None
    token_env: str | None = None
    ca: Path | None = None

    def __post_init__(self) -> None:
        if self.host is not None:
            _check_host(self.host)
        if self.host is not None and self.context is not None:
            raise UserError("--context is of a kubeconfig: leave out --host, or --context")
        if self.token_file is not None and self.token_env is not None:
            raise UserError("give one token: --token-file or --token-env")
        if (self.token_file or self.token_env) and self.host is None:
            raise UserError("a token is for a server at --host: the kubeconfig has its own")
        if self.ca is not None and not self.ca.is_file():
            raise UserError(f"--ca: there is no file {self.ca}")
        self.token()

    def token(self) -> str | None:
        """The bearer token as it is now; None where there is none to be sent.

        Raises:
            UserError: it is missing, or could not be sent. The text never shows it.
        """
        if self.token_file is not None:
            place = f"--token-file {self.token_file}"
            try:
                token = self.token_file.read_text("ascii").strip()
            except OSError as err:
                raise UserError(f"{place} cannot be read: {err.strerror}") from err
            except UnicodeDecodeError:
                raise UserError(f"{place} holds no token: a token is ASCII text") from None
        elif self.token_env is not None:
            place = f"--token-env {self.token_env}"
            token = os.environ.get(self.token_env, "").strip()
        else:
            return None
        if not token:
            raise UserError(f"{place} is empty: a bearer token is needed")
        # What a header cannot hold would be quoted, token and all, by the error that refuses it.
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise UserError(f"{place} holds no token: it has spaces or other characters in it")
        return token


class _Token(TokenCredentialsBase):
    """Gives kfp's client the token of a connection before every request."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def refresh_api_key_hook(self, config: Any) -> None:
        config.api_key["authorization"] = self._connection.token()


class Client(kfp.Client):
    """kfp's client, with two of its habits mended."""

    def _load_config(self, *args: Any) -> kfp_server_api.Configuration:
        config = super()._load_config(*args)
        # It ends the address of a cluster's proxy with a slash, and every path begins with one.
        host = config.host = config.host.rstrip("/")
        renew = config.refresh_api_key_hook

        def renew_token_only(config: kfp_server_api.Configuration) -> None:
            # The kubeconfig's own, called before each request, takes the proxy from the address,
            # and puts itself in our place (kubeflow/pipelines issue 8313).
            renew(config)
            config.host = host
            config.refresh_api_key_hook = renew_token_only

        if renew is not None:
            config.refresh_api_key_hook = renew_token_only
        return config

    def get_kfp_healthz(self, sleep_duration: int = 5) -> kfp_server_api.V2beta1GetHealthzResponse:
        """What the server says of itself.

        Asked once: kfp's own asks five times in half a minute, and prints a traceback each time.
        """
        return self._healthz_api.healthz_service_get_healthz(_request_timeout=_limits())


def connect(connection: Connection) -> Client:
    """A client of a server that answers.

    Raises:
        UserError: no kubeconfig, or no such context in it.
        ApiError: nobody answers there, or something that is not KFP.
    """
    # It warns of each of its retries; what became of them is what we tell.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    if connection.host is None and not _in_cluster():
        _check_kubeconfig(connection.context)
    with explained("reach KFP's API", connection), quiet():
        client = Client(
            host=connection.host,
            namespace=_INSTALLED_IN,
            kube_context=connection.context,
            credentials=_Token(connection) if connection.token() else None,
            ssl_ca_cert=str(connection.ca) if connection.ca else None,
        )
        _limit(client, connection)
        health = client.get_kfp_healthz()
    if health.multi_user is None:
        raise ApiError(f"{place(connection)} answers, but not as KFP's API: is --host right?")
    if health.multi_user and not (connection.namespace or client.get_user_namespace()):
        raise UserError(
            f"{place(connection)} serves several users: say whose runs these are with --namespace"
        )
    return client


def place(connection: Connection) -> str:
    """The server, in words."""
    if connection.host is not None:
        return connection.host
    return "KFP in this cluster" if _in_cluster() else "KFP in the kubeconfig's cluster"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what kfp prints and warns of from standard output, which is ours."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def explained(action: str, connection: Connection) -> Iterator[None]:
    """Turns what goes wrong with a request into an ApiError: "cannot {action}: why, what to do"."""
    try:
        yield
    except kfp_server_api.ApiException as err:
        status = err.status or None
        reason = _refusal(err, connection) if status else _one_line(err.reason)
        raise ApiError(
            f"cannot {action}: {reason}", status=status, passing=status in _PASSING
        ) from err
    except urllib3.exceptions.HTTPError as err:
        raise ApiError(
            f"cannot {action}: {_unreachable(err, connection)}", passing=not _is_tls(err)
        ) from err


def _in_cluster() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ


def _limits() -> tuple[float, float]:
    """Seconds to connect, and to answer. The client ignores a limit that is one float."""
    return REQUEST_S, REQUEST_S


def _limit(client: Client, connection: Connection) -> None:
    """Gives every request a time limit, and refuses an answer that is a web page.

    kfp's methods take no time limit, and of a page, as a login in front of KFP sends, the
    generated client makes an object in which every field is None.
    """
    api_client = client._healthz_api.api_client
    send = api_client.rest_client.request

    def request(method: str, url: str, **options: Any) -> Any:
        options["_request_timeout"] = _limits()
        response = send(method, url, **options)
        if _text(response.data).lstrip().startswith("<"):
            raise ApiError(
                f"{place(connection)} answers with a web page, not as KFP's API: is --host "
                "right, and does something in front of it want a login (--token-file)?"
            )
        return response

    api_client.rest_client.request = request


def _check_host(host: str) -> None:
    try:
        parts = urlsplit(host)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        known = False
    if not known:
        raise UserError(
            f"--host must be an address, as in http://localhost:8080. Received: {host!r}"
        )
    if parts.username is not None or parts.password is not None:
        raise UserError("--host must hold no password: give a token by --token-file")
    if "?" in host or "#" in host:
        raise UserError(
            "--host must be the address without what a page adds to it: leave out what follows "
            f"{host.partition('?')[0].partition('#')[0]}"
        )


def _check_kubeconfig(context: str | None) -> None:
    """kfp prints that it could not load one, and goes on to ask localhost."""
    try:
        contexts, _ = kubernetes.config.list_kube_config_contexts()
    except kubernetes.config.ConfigException as err:
        raise UserError(
            f"there is no --host, and no kubeconfig to find it by: {_one_line(err)} Give --host, "
            "or set KUBECONFIG"
        ) from err
    names = [known["name"] for known in contexts]
    if context is not None and context not in names:
        raise UserError(f"--context: the kubeconfig has no {context!r}. It has: {', '.join(names)}")


def _refusal(err: kfp_server_api.ApiException, connection: Connection) -> str:
    message = _message(err.body)
    said = f": {message}" if message else ""
    match err.status:
        case 401:
            return f"{place(connection)} wants a valid token (401){said}: give --token-file"
        case 403:
            whose = f" in namespace {connection.namespace}" if connection.namespace else ""
            return f"the token's owner may not do that{whose} (403){said}"
        case 404 if not message:
            return f"{place(connection)} has no KFP API v2 (404): is --host right?"
        case 409:
            return f"the name is taken (409){said}"
        case _:
            return f"the server says {err.status} {_one_line(err.reason)}{said}"


def _message(body: str | bytes | None) -> str:
    """What an answer says: gRPC gateway's status, the upload server's error, or plain text.

    A status's own message is the chain of causes; its details hold the sentence meant for users
    (`UserError.GRPCStatus` in backend/src/common/util/error.go).
    """
    text = _text(body or "")
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
    return _one_line(text)


def _text(body: str | bytes) -> str:
    return body.decode(errors="replace") if isinstance(body, bytes) else body


def _unreachable(err: Exception, connection: Connection) -> str:
    where = place(connection)
    cause = err.reason if isinstance(err, urllib3.exceptions.MaxRetryError) else err
    match cause:
        case urllib3.exceptions.NameResolutionError():
            return f"{where}: no such host"
        case urllib3.exceptions.NewConnectionError():
            why = str(cause).rpartition("] ")[2]
            return f"{where}: {_one_line(why)}. Does the port-forward run?"
        case urllib3.exceptions.ConnectTimeoutError() | urllib3.exceptions.ReadTimeoutError():
            return f"{where} does not answer"
        case urllib3.exceptions.SSLError():
            return f"{where}: {_one_line(cause)}. Trust the server's certificate with --ca FILE"
        case _:
            return f"{where}: {_one_line(cause)}"


def _is_tls(err: Exception) -> bool:
    return isinstance(getattr(err, "reason", err), urllib3.exceptions.SSLError)


def _one_line(words: object) -> str:
    """Printable words, on one line of a length that can be read."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())
    return line if len(line) <= 400 else line[:397] + "..."
