"""kfp's client of KFP's API server, with a time limit for every request.

Connection -> connect -> Client
"""

import contextlib
import io
import warnings
from collections.abc import Iterator

import kfp
import kfp_server_api
import kubernetes
from kfp.client.token_credentials_base import TokenCredentialsBase

from kubeflow.submitting.api_errors import ApiError, explained, one_line, text_of
from kubeflow.submitting.connection import Connection, in_cluster
from signs.errors import UserError

REQUEST_S = 20.0  # for an answer; a question that changes nothing is asked four times
_INSTALLED_IN = "kubeflow"  # the namespace that KFP's manifests create


class _Token(TokenCredentialsBase):
    """Gives kfp's client the token of a connection before every request."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def refresh_api_key_hook(self, config: kfp_server_api.Configuration) -> None:
        try:
            config.api_key["authorization"] = self._connection.token()
        except UserError as err:  # it was there when the connection was made
            raise ApiError(str(err)) from err


class Client(kfp.Client):
    """kfp's client, with two of its habits mended."""

    def _load_config(self, *args: object) -> kfp_server_api.Configuration:
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
    if connection.host is None and not in_cluster():
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
        raise ApiError(f"{connection.place} answers, but not as KFP's API: is --host right?")
    if health.multi_user and not (connection.namespace or client.get_user_namespace()):
        raise UserError(
            f"{connection.place} serves several users: say whose runs these are with --namespace"
        )
    return client


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what kfp prints and warns of from standard output, which is ours."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


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

    def request(method: str, url: str, **options: object) -> kfp_server_api.rest.RESTResponse:
        options["_request_timeout"] = _limits()
        response = send(method, url, **options)
        if text_of(response.data).lstrip().startswith("<"):
            raise ApiError(
                f"{connection.place} answers with a web page, not as KFP's API: is --host "
                "right, and does something in front of it want a login (--token-file)?"
            )
        return response

    api_client.rest_client.request = request


def _check_kubeconfig(context: str | None) -> None:
    """kfp prints that it could not load one, and goes on to ask localhost."""
    try:
        contexts, _ = kubernetes.config.list_kube_config_contexts()
    except kubernetes.config.ConfigException as err:
        raise UserError(
            f"there is no --host, and no kubeconfig to find it by: {one_line(err)} Give --host, "
            "or set KUBECONFIG"
        ) from err
    names = [known["name"] for known in contexts]
    if context is not None and context not in names:
        raise UserError(f"--context: the kubeconfig has no {context!r}. It has: {', '.join(names)}")
